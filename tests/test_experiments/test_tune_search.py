"""``python -m mmvitkd tune --search``: ranges, what Optuna is asked and told, runs."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from mmengine.config import Config
from optuna.storages import InMemoryStorage

from mmvitkd.experiments.run import Run, Setting
from mmvitkd.experiments.tuning.searcher import Searcher, make_pruner
from mmvitkd.experiments.tuning.space import (
    decode,
    describe,
    grid,
    option_texts,
    read_range,
    read_space,
)
from mmvitkd.experiments.tuning.study import Trials, open_storage, open_study
from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.config_file import read_option
from tests.shrink import CONFIGS

from .in_process import call
from .tiny import write_dataset

DIGITS = CONFIGS / 'digits'
LR = 'optim_wrapper.optimizer.lr'

# ---------------------------------------------------------------------------- ranges


def test_ranges_are_those_that_are_written():
    texts = {
        'a': 'log(1e-6,1e-3)',
        'b': 'float(0,0.5)',
        'c': 'float(0,1,0.25)',
        'd': 'int(2,8,2)',
        'e': 'choice(relu,[1,2],3)',
    }
    space = {key: read_range(key, text) for key, text in texts.items()}
    assert space['a'] == optuna.distributions.FloatDistribution(1e-6, 1e-3, log=True)
    assert space['d'] == optuna.distributions.IntDistribution(2, 8, step=2)
    again = {key: read_range(key, text) for key, text in describe(space).items()}
    assert again == space
    assert decode({'e': '[1,2]', 'b': 0.5}) == {'e': [1, 2], 'b': 0.5}
    with pytest.raises(ValueError, match='--sampler grid: a has no steps'):
        grid(space)
    points = grid({key: space[key] for key in 'cd'})
    assert len(points) == 5 * 4
    assert points[:2] == [{'c': 0.0, 'd': 2}, {'c': 0.0, 'd': 4}]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('log(0,1)', 'LOW must be below HIGH and above 0'),
        ('float(2,1)', 'LOW must be below HIGH'),
        ('float(0,1,0)', 'STEPs must lead from LOW to HIGH'),
        ('log(1,inf)', 'a range is log'),
        ('float(0,1,0.3)', 'STEPs must lead from LOW to HIGH'),
        ('int(1,2.5)', 'a range is log'),
        ('float(a,b)', 'a range is log'),
        ('lin(1,2)', 'a range is log'),
        ('0.5', 'a range is log'),
        ('choice(1,1.0)', 'two choices are equal'),
        ('choice(1)', 'a range is log'),
    ],
)
def test_what_is_no_range_is_told_with_its_setting(text, message):
    with pytest.raises(ValueError, match=message) as error:
        read_range('key', text)
    assert f'--search key={text}' in str(error.value)


def test_settings_are_those_of_the_config():
    cfg = Config.fromfile(DIGITS / 'vitkd_digits.py')
    known = {
        'terms.gen.loss.loss_weight': 'log(1e-6,1e-3)',
        'model.terms.mimic0.loss.reduction': 'choice(sum,mean)',  # by its class
        'train_dataloader.dataset.pipeline.1.padding': 'int(2,4)',
        'optim_wrapper.optimizer.eps': 'log(1e-9,1e-7)',
    }
    assert [*read_space(known, cfg)][:1] == ['model.terms.gen.loss.loss_weight']
    for key, hint in {
        'terms.gem.loss.loss_weight': "model.terms has no 'gem': did you mean 'gen'",
        'model.terms.gen.loss.loss_wieght': "did you mean 'loss_weight'",
        'optim_wrapper.optimizer.lrr': "did you mean 'lr'",
        'optim_wraper.optimizer.lr': "did you mean 'optim_wrapper'",
        'train_dataloader.dataset.pipeline.9.padding': 'is a list of',
        'model.task_weight.x': 'model has no',
        'train_cfg.max_epochs.x': 'is 200, without settings',
    }.items():
        with pytest.raises(ValueError, match='--search') as error:
            read_space({key: 'int(1,2)'}, cfg)
        assert hint in str(error.value)


def test_settings_come_back_from_the_command_line():
    options = {'a': 1.25e-7, 'b': [1, 2], 'c': 'x', 'd': True, 'e': (3, 4), 'f': None}
    texts = option_texts(options)
    assert texts[1] == "'b=[1,2]'"
    read = dict(read_option(text.strip("'")) for text in texts)
    assert read == {**options, 'f': read_option('f=None')[1]}


# ------------------------------------------------------------------ asked and told

LENGTH = 10  # epochs


def searcher(folder: Path, storage: Any, count: int, **given: Any) -> Searcher:
    """Go on with a study of one setting, as a call of the command does."""
    name = given.pop('name', 'a')
    study = open_study(storage, name, {})
    study.pruner = make_pruner(given.pop('length', LENGTH))
    space = {'x': read_range('x', 'float(0,1)')}
    base = {'model': {}, 'train_cfg': {'max_epochs': LENGTH}, 'randomness': {}}

    def make(point: dict) -> Setting:
        return Setting('x', Config({**base, 'study': name, **point}))

    trials = Trials(study, space, make, given.pop('seeds', [1]), folder)
    trials.give_up()
    trials.enqueue(trials.unfinished())
    return Searcher(trials, count, 1, 'tpe', 0, {'x': 'x'})


def write_log(run: Run, *values: float) -> None:
    """Write what the validations after epochs 1, 2 and so on measured."""
    log = run.folder / '20261101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({'accuracy/top1': value, 'time': 0.1, 'step': epoch})
        for epoch, value in enumerate(values, 1)
    ]
    log.write_text('\n'.join(['{"loss": 1.0, "epoch": 1, "step": 7}', *lines]))


def finish(search: Searcher, run: Run, top1: float) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / 'result.json').write_text(json.dumps({'top1': top1}))
    search.ended(run, [])


def test_a_trial_below_the_median_is_pruned_and_its_value_kept(tmp_path):
    storage = InMemoryStorage()
    search = searcher(tmp_path, storage, 8)
    states = optuna.trial.TrialState
    for value in range(5):
        (run,) = search.more()
        assert search.more() == []  # one at a time
        write_log(run, *[80 + value] * LENGTH)
        finish(search, run, 80 + value)
    (poor,) = search.more()
    write_log(poor, 50)  # too early to be judged
    search.at([poor])
    assert search.unwanted() == []
    write_log(poor, 50, 51)
    search.at([poor])
    assert search.unwanted() == [poor]
    (good,) = search.more()
    write_log(good, 90, 91, 92)
    search.at([good])
    assert search.unwanted() == []
    finish(search, good, 92)
    study = search.study
    assert [one.state for one in study.trials] == (
        [states.COMPLETE] * 5 + [states.PRUNED, states.COMPLETE]
    )
    assert study.trials[5].value == 51
    assert study.best_trial.number == 6
    # without pruning
    (again,) = searcher(tmp_path, storage, 8, length=None).more()
    write_log(again, 1, 1, 1)
    kept = searcher(tmp_path, storage, 8, length=None)
    assert kept.more() == [again]  # given up, and asked once more
    kept.at([again])
    assert kept.unwanted() == []


def test_a_study_that_is_interrupted_tries_the_same(tmp_path):
    """What comes next follows from the seed and what is finished."""
    asked = {}
    for name in ('whole', 'broken'):
        storage = InMemoryStorage()
        search = searcher(tmp_path, storage, 13, name=name, seeds=[1, 2])
        for number in range(13):
            (first,) = search.more()
            if name == 'broken' and number in (1, 11):  # the call is killed
                search = searcher(tmp_path, storage, 13, name=name, seeds=[1, 2])
                assert search.more() == [first]
            x = first.setting.cfg.x
            finish(search, first, 90 - (x - 0.3) ** 2)
            (second,) = search.more()
            assert second.setting == first.setting
            assert (first.seed, second.seed) == (1, 2)
            finish(search, second, 90 - (x - 0.3) ** 2)
        assert search.more() == []
        asked[name] = [
            one.params
            for one in search.study.trials
            if one.state == optuna.trial.TrialState.COMPLETE
        ]
    assert asked['whole'] == asked['broken']
    assert len({*map(str, asked['whole'])}) == 13


def test_a_search_of_which_nothing_comes_to_an_end_is_given_up(tmp_path):
    search = searcher(tmp_path, open_storage(tmp_path), 10)
    for _ in range(3):
        (run,) = search.more()
        run.fail('no luck')
        search.ended(run, [])
    assert search.more() == []
    again = searcher(tmp_path, open_storage(tmp_path), 10)
    (run,) = again.more()  # what failed is tried again
    assert run.setting.cfg.x == again.study.trials[0].params['x']
    assert run.failure() is None


# ------------------------------------------------------------------------ the command


def write_student(folder: Path) -> Path:
    """Write a student of two epochs."""
    small = Config.fromfile(write_dataset(folder / 'tiny.py'))
    options = {**small.options, **small.students.S.options}
    cfg = Config.fromfile(DIGITS / 'digits_student.py')
    cfg.merge_from_dict({**options, 'train_cfg.val_interval': 1})
    path = folder / 'student.py'
    cfg.dump(path)
    return path


def tune(folder: Path, *args: str, **env: str):
    options = ('--seeds', '7', '--gpus', '0', '--jobs', '1', '--work-dir', 'work')
    return call('tune', folder, 'student.py', *options, *args, **env)


@pytest.mark.slow
def test_a_search_is_killed_gone_on_with_added_to_and_written(tmp_path):
    write_student(tmp_path)
    searched = [
        '--search',
        f'{LR}=log(1e-4,1e-1)',
        'train_dataloader.batch_size=choice(10,25)',
    ]
    code, said = tune(tmp_path, *searched, '--trials', '1', KILL_BEFORE_ITER='6')
    assert code == 1, said
    assert 'ended with code -9' in said, said
    code, said = tune(tmp_path, *searched, '--trials', '2')
    assert code == 0, said
    work = tmp_path / 'work'
    logs = ''.join(log.read_text() for log in work.glob('*/seed7/*/*.log'))
    assert 'resumed epoch: 1' in logs
    with (work / 'results' / 'student.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    values = [float(row['value']) for row in rows]
    assert values == sorted(values, reverse=True)
    assert [float(row['seed7']) for row in rows] == values
    best = {
        LR: float(rows[0][LR]),
        'train_dataloader.batch_size': int(rows[0]['train_dataloader.batch_size']),
    }
    cfg = read_config(work / 'results' / 'student-best.py')
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(best[LR], abs=1e-6)
    assert f'--cfg-options {LR}={cfg.optim_wrapper.optimizer.lr} ' in said
    assert cfg.train_dataloader.batch_size == best['train_dataloader.batch_size']
    assert cfg.test_dataloader.dataset.split == 'test'  # of the user's own training
    for file in work.glob('*/seed7/config.json'):
        assert '"split": "test"' not in file.read_text()
    study = optuna.load_study(study_name=None, storage=f'sqlite:///{work}/studies.db')
    assert study.trials[-1].intermediate_values.keys() == {1, 2}

    code, said = tune(tmp_path, *searched, '--report-only')
    assert (code, f'{LR}=' in said) == (0, True)
    code, said = tune(tmp_path, *searched, '--trials', '5', '--dry-run')
    assert "3 of 5 trials to do in 'student', of 1 runs" in said
    code, said = tune(tmp_path, '--search', f'{LR}=log(1e-4,1)', '--trials', '3')
    assert code == 2
    assert "error: the study 'student' has another search" in said
    code, said = tune(tmp_path, *searched, '--study', 'other', '--report-only')
    assert "there is no study 'other'" in said


def test_what_can_not_be_searched_is_one_line(tmp_path, monkeypatch):
    write_student(tmp_path)
    for args, message in (
        ([], 'what is searched? Give --search KEY=RANGE'),
        (['--search', LR], f"--search '{LR}' is no KEY=RANGE"),
        (['--search', f'{LR}=int(1,2)', f'{LR}=int(1,2)'], 'twice'),
        (['--search', 'train_cfg.max_epochs=int(0,5)'], 'train_cfg.max_epochs'),
    ):
        code, said = tune(tmp_path, *args)
        assert (code, message in said) == (2, True), said
        assert not (tmp_path / 'work' / 'studies.db').exists()
    weight = ['--search', 'terms.gen.loss.loss_weight=log(1e-6,1e-2)', '--gpus', '0']
    _, said = call('tune', tmp_path, DIGITS / 'vitkd_digits.py', *weight)
    assert "its teacher 'work_dirs/digits_teacher/epoch_40.pth' is not there" in said
    for name in [name for name in sys.modules if name.partition('.')[0] == 'optuna']:
        monkeypatch.delitem(sys.modules, name)
    for name in ('search', 'searcher', 'space', 'study'):
        monkeypatch.delitem(sys.modules, f'mmvitkd.experiments.tuning.{name}')
    monkeypatch.setitem(sys.modules, 'optuna', None)
    code, said = tune(tmp_path, '--search', f'{LR}=log(1e-4,1e-1)')
    assert "the library 'optuna' is missing: python -m pip install 'optuna>=5'" in said
