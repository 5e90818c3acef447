"""A training that waits for its data says so, once."""

import time

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from mmvitkd.engine import DataWaitHook
from mmvitkd.registry import TRANSFORMS
from mmvitkd.utils.cli import build_runner
from mmvitkd.utils.hooks import complete_hooks
from tests.test_tools.runs import config

QUIET = dict.fromkeys(('labels', 'images', 'rehearsal', 'check', 'monitor'))


@TRANSFORMS.register_module()
class Slow(BaseTransform):
    """Takes its time for an image."""

    def __init__(self, seconds):
        self.seconds = seconds

    def transform(self, results):
        time.sleep(self.seconds)
        return results


def warnings_of(tmp_path, seconds, least=0.0, workers=0):
    """Train for 32 steps of a batch of 4, and return what was warned of."""
    cfg = Config.fromfile(config(tmp_path))
    cfg.custom_hooks = []
    cfg.work_dir = str(tmp_path / 'work')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.num_workers = workers
    cfg.train_dataloader.persistent_workers = bool(workers)
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(0, {'type': 'Slow', 'seconds': seconds})
    wait = {'interval': 5, 'least': least}
    cfg.default_hooks = {**QUIET, 'checkpoint': None, 'data_wait': wait}
    complete_hooks(cfg)
    assert cfg.default_hooks.data_wait.type == 'mmvitkd.DataWaitHook'
    runner = build_runner(cfg)
    runner.train()
    (log,) = (tmp_path / 'work').rglob('*.log')
    return [line for line in log.read_text().splitlines() if 'waits for its' in line]


def test_a_slow_data_set_is_told_of_once(tmp_path):
    (said,) = warnings_of(tmp_path, 0.05)
    assert 'This process makes its images itself' in said
    assert said.endswith('makes it less.')  # in one line
    waited = float(said.split('its data: ')[1].split(' of ')[0])
    assert waited >= 4 * 50


def test_workers_that_would_keep_up_are_counted(tmp_path):
    (said,) = warnings_of(tmp_path, 0.1, workers=1)
    assert 'Of workers it has 1, and ' in said


def test_a_short_wait_in_all_is_not_worth_a_line(tmp_path):
    assert warnings_of(tmp_path, 0.05, least=60.0) == []


def test_only_the_time_between_steps_is_waiting(monkeypatch):
    """By a clock of our own: a tenth of the time is no warning, more is."""
    from types import SimpleNamespace

    now, said = [0.0], []
    monkeypatch.setattr(
        'mmvitkd.engine.hooks.data_wait_hook.perf_counter', lambda: now[0]
    )
    runner = SimpleNamespace(
        max_iters=1000,
        logger=SimpleNamespace(warning=said.append),
        train_dataloader=SimpleNamespace(num_workers=4),
    )
    hook = DataWaitHook(interval=10)

    def steps(count, wait, work):
        for _ in range(count):
            now[0] += wait
            hook.before_train_iter(runner, 0)
            now[0] += work
            hook.after_train_iter(runner, 0)

    hook.before_train_epoch(runner)
    steps(20, 9.0, 0.1)  # what starts
    steps(30, 0.099, 0.901)
    hook.before_train_epoch(runner)
    steps(1, 50.0, 0.9)
    hook.after_val_epoch(runner)
    steps(1, 50.0, 0.9)
    assert said == []
    steps(30, 0.5, 0.5)
    assert len(said) == 1
    assert '500 of 1000 ms a step in the last 10 steps, 50%' in said[0]
    assert 'Of workers it has 4, and 8 would keep up' in said[0]


@pytest.mark.parametrize('kw', [{'share': 0}, {'share': 1.5}, {'interval': 0}])
def test_what_can_not_be_is_refused(kw):
    with pytest.raises(ValueError, match=next(iter(kw))):
        DataWaitHook(**kw)
