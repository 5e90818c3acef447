"""Runs that are carried out: on devices, on a cluster, killed, and failing."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmvitkd.experiments import worker
from mmvitkd.experiments.cluster import Cluster
from mmvitkd.experiments.fork import FORK
from mmvitkd.experiments.run import Run, Setting
from mmvitkd.experiments.schedule import Local, Watcher, run_all
from tests.test_tools.runs import config


def test_a_reason_of_several_lines_stays_in_its_cell(tmp_path):
    run = Run(Setting('a', Config({})), 0, tmp_path)
    run.fail('does not fit:\n  missing: x\n  left over: ' + 'y ' * 999)
    reason = run.failure()
    assert reason.startswith('does not fit: missing: x left over: y')
    assert len(reason) <= 300


def test_a_run_that_is_ended_ends_what_it_started(tmp_path):
    """As torchrun, which a run on several GPUs starts."""
    script = f'echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/begun; sleep 100'
    process = FORK.Process(target=worker._call, args=(['bash', '-c', script],))
    process.start()
    begun = tmp_path / 'begun'
    while not begun.is_file():
        time.sleep(0.05)
    process.terminate()
    process.join(20)
    assert process.exitcode == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_devices_are_shared_out():
    local = Local(gpus=2, jobs=3, visible=tuple('0145' + '67'))
    assert local.slots == [('0', '1'), ('4', '5'), ('6', '7')]
    assert Local(gpus=0, jobs=2, visible=('0',)).slots == [(), ()]


def seen(run: Run, gpus: int) -> dict:
    """Measure nothing: tell which GPUs a run may use, and when."""
    start = time.time()
    time.sleep(0.5)
    name = run.setting.name
    if name == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    if name == 'fails':
        raise RuntimeError('no\nluck')
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    return {'visible': visible, 'start': start, 'end': time.time()}


def begun(name: str, seed: int, root: Path, teacher: Setting | None = None) -> Run:
    """Describe a run whose training is over, so that only its test is left."""
    model = {'teacher': {'checkpoint': ''}} if teacher else {}
    cfg = Config({'model': model, 'train_cfg': {'max_epochs': 1}, 'randomness': {}})
    teachers = {'teacher': teacher} if teacher else {}
    run = Run(Setting(name, cfg, teachers), seed, root)
    run.folder.mkdir(parents=True)
    run.checkpoint.touch()
    return run


def test_every_run_has_gpus_of_its_own(tmp_path):
    runs = [begun('a', seed, tmp_path) for seed in range(4)]
    run_all(runs, Local(1, 2, ('3', '5')), test=seen)
    found = [run.result() for run in runs]
    assert {one['visible'] for one in found} == {'3', '5'}
    for gpu in ('3', '5'):
        mine = sorted(
            (one['start'], one['end']) for one in found if one['visible'] == gpu
        )
        assert all(a[1] <= b[0] for a, b in zip(mine, mine[1:], strict=False))


class Ends(Watcher):
    """Keeps how the runs ended."""

    def __init__(self):
        self.runs = []

    def ended(self, run, left):
        self.runs.append((run.name, bool(run.result()), len(left)))


def test_one_that_fails_or_dies_does_not_stop_the_others(tmp_path):
    bad = begun('fails', 0, tmp_path)
    runs = [
        *(bad, begun('killed', 0, tmp_path), begun('good', 0, tmp_path)),
        Run(begun('taught', 9, tmp_path, bad.setting).setting, 0, tmp_path),
    ]
    ends = Ends()
    run_all(runs, Local(0, 2), ends, test=seen)
    reasons = {run.setting.name: run.failure() for run in runs}
    assert reasons['good'] is None
    assert runs[2].result()['device'] == 'CPU'
    assert reasons['fails'] == 'RuntimeError: no luck'
    assert 'its teacher failed: RuntimeError' in reasons['taught']
    assert reasons['killed'] == 'its process ended with code -9'
    assert len(ends.runs) == 4
    assert ends.runs[-1][2] == 0


class Steers(Ends):
    """Adds runs when it is first asked, and ends those that never would."""

    def __init__(self, runs):
        super().__init__()
        self.to_add, self.active = runs, []

    def more(self):
        runs, self.to_add = self.to_add, []
        return runs

    def at(self, active):
        self.active = active

    def unwanted(self):
        return [run for run in self.active if run.setting.name == 'endless']


def endless(run: Run, gpus: int) -> dict:
    if run.setting.name == 'endless':
        time.sleep(600)
    return {}


def test_a_watcher_adds_runs_and_ends_others(tmp_path):
    runs = [begun(name, 0, tmp_path) for name in ('endless', 'next', 'last')]
    steers = Steers(runs)
    run_all([], Local(0, 1), steers, test=endless)
    assert [name for name, *_ in steers.runs] == ['next, seed 0', 'last, seed 0']
    assert runs[0].result() is runs[0].failure() is None
    assert runs[0].state() == 'begun'


def student(folder: Path, name: str, **changes: Any) -> Run:
    """Describe a training of one epoch."""
    cfg = Config.fromfile(config(folder, name, **changes))
    cfg.model = cfg.model.student
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks = {}
    return Run(Setting(name, Config(cfg.to_dict())), 0, folder / 'runs')


@pytest.mark.slow
def test_real_trainings_as_jobs_of_a_cluster(tmp_path):
    """By submitit, whose jobs are processes that import everything anew."""
    good = student(tmp_path, 'good')
    bad = student(tmp_path, 'bad', **{'train_dataloader.batch_size': -1})
    run_all([good, bad], Cluster(tmp_path / 'jobs', 0, 2, {}, kind='local'))
    assert good.failure() is None
    assert 0 <= good.result()['top1'] <= 100
    assert good.progress() == 1.0
    assert 'batch_size' in bad.failure()
    assert json.loads((good.folder / 'slurm.json').read_text())['id']


def test_an_unknown_option_of_the_cluster_is_named(tmp_path):
    with pytest.raises(ValueError, match='partion'):
        Cluster(tmp_path, 0, 2, {'partion': 'gpu'}, kind='local')
