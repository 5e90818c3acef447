"""``python -m mmvitkd tune`` with a list of tries, which are run for real."""

import csv
import json
import sys
from argparse import Namespace

import pytest
from mmengine.config import Config

from mmvitkd.commands import main
from mmvitkd.experiments.tuning.source import read
from mmvitkd.experiments.tuning.tries import list_tries
from tests.shrink import CONFIGS
from tests.test_experiments.tiny import write_dataset

TUNING = CONFIGS / 'tuning'


@pytest.mark.parametrize('name', ['student', 'vitkd', 'vitkd-nkd'])
def test_every_arm_has_as_many_tries_and_no_test_split(name):
    file = TUNING / f'digits-{name}.py'
    given = dict.fromkeys(('teacher', 'max_epochs', 'cfg_options', 'search'))
    settings = list_tries(read(Namespace(file=file, **given)))
    assert len({setting.folder for setting in settings}) == 16
    for setting in settings:
        assert setting.cfg.test_dataloader == setting.cfg.val_dataloader
        assert setting.cfg.test_dataloader.dataset.split == 'val'
        assert (not setting.teachers) == (name == 'student')


def test_a_file_may_have_ranges_and_the_command_line_more(tmp_path):
    student, teacher = CONFIGS / 'digits' / 'vitkd_digits.py', 'digits_teacher.py'
    (tmp_path / 'file.py').write_text(
        f'config = {str(student)!r}\n'
        f'teacher = {str(student.with_name(teacher))!r}\n'
        "search = {'terms.gen.loss.loss_weight': 'log(1e-6,1e-2)', 'a.b': 'int(1,2)'}\n"
    )
    options = {'train_cfg.val_interval': 5}
    given = {'teacher': None, 'max_epochs': 3, 'cfg_options': options}
    source = read(
        Namespace(file=tmp_path / 'file.py', search=['a.b=int(1,3)'], **given)
    )
    assert [*source.search.values()] == ['log(1e-6,1e-2)', 'int(1,3)']
    setting = source.setting('', {'model.terms.gen.loss.loss_weight': 0.5})
    assert setting.cfg.train_cfg == {
        'by_epoch': True,
        'max_epochs': 3,
        'val_interval': 3,
    }
    assert setting.cfg.model.terms.gen.loss.loss_weight == 0.5
    assert setting.teachers['teacher'].name == 'teacher digits_teacher'
    given['teacher'] = str(student.with_name(teacher))
    alone = read(Namespace(file=student, search=['a.b=int(1,3)'], **given))
    assert alone.setting('', {}).teachers == setting.teachers


def write_tries(folder):
    """Write two tries of the student, small enough to run."""
    small = Config.fromfile(write_dataset(folder / 'tiny.py'))
    shared = {**small.options, **small.students.S.options}
    tries = [{**shared, 'optim_wrapper.optimizer.lr': lr} for lr in (1e-4, 1)]
    path = folder / 'tries.py'
    config = CONFIGS / 'digits' / 'digits_student.py'
    path.write_text(f'config = {str(config)!r}\ntries = {tries!r}')
    return path


def test_tries_are_run_once_and_ordered(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'optuna', None)  # which a list does without
    arguments = [str(write_tries(tmp_path)), '--seeds', '7', '8', '--gpus', '0']
    arguments += ['--work-dir', str(tmp_path / 'work'), '--max-epochs', '1']
    with pytest.raises(SystemExit) as end:
        main('tune', arguments)
    assert end.value.code == 0
    results = sorted((tmp_path / 'work').glob('*/seed*/result.json'))
    assert [file.parent.name for file in results] == ['seed7', 'seed8'] * 2
    with (tmp_path / 'work' / 'results' / 'tries.csv').open() as file:
        rows = list(csv.DictReader(file))
    means = [float(row['mean']) for row in rows]
    assert means == sorted(means, reverse=True)
    found = [json.loads(file.read_text()) for file in results]
    measured = {one['top1'] for one in found}
    # what the test of a run measures besides is no part of a choice
    assert (
        {one['ece'] for one in found} == {one['corrupted'] for one in found} == {None}
    )
    assert {float(row[f'seed{s}']) for row in rows for s in (7, 8)} == {
        round(value, 6) for value in measured
    }
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main('tune', [*arguments, '--dry-run'])
    assert '0 of 4 runs to do' in capsys.readouterr().out


def test_what_has_nothing_to_tune_is_refused(tmp_path):
    (tmp_path / 'empty.py').write_text('config = "a.py"\ntries = []')
    with pytest.raises(SystemExit, match='must give config and a list of tries'):
        main('tune', [str(tmp_path / 'empty.py'), '--gpus', '0'])
    with pytest.raises(SystemExit, match='no file of tries'):
        main('tune', [str(tmp_path / 'no.py'), '--gpus', '0'])
    tries = TUNING / 'digits-student.py'
    for option in (['--trials', '3'], ['--sampler', 'tpe'], ['--no-pruning']):
        with pytest.raises(SystemExit, match=f'{option[0]} belongs to a search, but'):
            main('tune', [str(tries), '--gpus', '0', *option])
