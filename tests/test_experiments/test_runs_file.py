"""Finished runs in one file: taken by another machine, and added to."""

import json

import pytest
import torch
from mmengine.config import Config

from mmvitkd.experiments.results import collect, teachers_line
from mmvitkd.experiments.run import Run, Setting
from mmvitkd.experiments.runs_file import ELSEWHERE, RunsFile

LOOP = {'train_cfg': {'max_epochs': 2}}
TEACHER = Setting('teacher large', Config({'name': 'large', **LOOP}))
OURS = Setting('ours', Config({'name': 'ours', **LOOP}), {'teacher': TEACHER})
ALONE = Setting('alone', Config({'name': 'alone', **LOOP}))


def runs_in(root, seeds):
    """Every run of a plan, each after its teacher."""
    students = [Run(one, s, root) for s in range(seeds) for one in (ALONE, OURS)]
    return [Run(TEACHER, 0, root), *students]


@pytest.fixture
def file(tmp_path):
    """A file of two seeds that one machine has run."""
    for number, run in enumerate(runs_in(tmp_path / 'first', 2)):
        run.keep({'top1': 90.0 - number, 'versions': {'torch': '2.0'}})
    path = tmp_path / 'results' / 'runs.jsonl'
    RunsFile(path).add(runs_in(tmp_path / 'first', 2))
    return path


def states(runs):
    return [bool(run.result()) for run in runs]


def test_what_is_finished_elsewhere_is_finished(file, tmp_path):
    runs = runs_in(tmp_path / 'second', 2)
    assert RunsFile(file).take(runs) == 5
    assert [run.result()['top1'] for run in runs] == [90.0, 89.0, 88.0, 87.0, 86.0]
    assert all(run.result()[ELSEWHERE] for run in runs)
    assert RunsFile(file).take(runs) == 0
    before = file.read_text()
    RunsFile(file).add(runs)
    assert file.read_text() == before


def test_a_teacher_that_is_needed_is_trained_again(file, tmp_path):
    """Unless its weights are there; accuracies are each student's own."""
    runs = runs_in(tmp_path / 'second', 3)
    assert RunsFile(file).take(runs) == 4
    assert states(runs) == [False, True, True, True, True, False, False]
    teacher, *_, alone, ours = runs
    teacher.keep({'top1': 91.0})
    alone.keep({'top1': 80.0})
    ours.keep({'top1': 81.0})
    kept = RunsFile(file)
    kept.add(runs)
    third = runs_in(tmp_path / 'third', 3)
    assert RunsFile(file).take(third) == 7
    students = [run for run in third if run.setting == OURS]
    assert collect(students).values('teacher') == [90.0, 90.0, 91.0]
    assert teachers_line(third) == 'Top-1 of the teachers: large 90.0 and 91.0.'
    assert third[0].result()['top1'] == 90.0  # what the file had stays


def test_a_teacher_is_let_go_when_it_turns_out_to_be_needed(file, tmp_path):
    """As in a comparison, whose test follows from its tuning."""
    root = tmp_path / 'second'
    RunsFile(file).take(runs_in(root, 2))
    teacher = Run(TEACHER, 0, root)
    assert teacher.result()
    RunsFile(file).take(runs_in(root, 3))
    assert not teacher.result()
    # one that was trained here stays
    teacher.keep({'top1': 91.0})
    teacher.checkpoint.touch()
    RunsFile(file).take(runs_in(root, 3))
    assert teacher.result() == {'top1': 91.0}
    torch.save({'state_dict': {}}, teacher.checkpoint)
    RunsFile(file).add(runs_in(root, 3))
    assert teacher.result() == {'top1': 91.0}


def test_a_teacher_brings_its_weights(tmp_path):
    """And is tested again, whose predictions the students' are compared with."""
    teacher, *students = runs_in(tmp_path / 'first', 1)
    for run in (teacher, *students):
        run.keep({'top1': 90.0})
        torch.save({'state_dict': {'w': torch.ones(3)}, 'optimizer': 1}, run.checkpoint)
    path = tmp_path / 'runs.jsonl'
    RunsFile(path).add([teacher, *students])
    assert [file.name for file in (tmp_path / 'runs').iterdir()] == [
        f'{TEACHER.folder}-seed0.pth'
    ]
    again, *_ = runs = runs_in(tmp_path / 'second', 2)
    for _ in range(2):
        RunsFile(path).take(runs)
        assert states(runs) == [False, True, True, False, False]
        assert again.state() == 'begun'
    found = torch.load(again.checkpoint, weights_only=True)
    assert found.keys() == {'state_dict'}
    assert found['state_dict']['w'].tolist() == [1, 1, 1]


def test_another_setting_is_another_run(file, tmp_path):
    other = Setting('alone', Config({'name': 'alone', 'lr': 1.0, **LOOP}))
    run = Run(other, 0, tmp_path / 'second')
    assert RunsFile(file).take([run]) == 0
    run.keep({'top1': 50.0})
    RunsFile(file).add([run])
    assert len(file.read_text().splitlines()) == 6
    assert len(RunsFile(file).records) == 6


def test_two_calls_at_a_time_keep_each_others_runs(tmp_path):
    path = tmp_path / 'runs.jsonl'
    one, other = RunsFile(path), RunsFile(path)
    for kept, setting in ((one, ALONE), (other, TEACHER)):
        run = Run(setting, 0, tmp_path / 'work')
        run.keep({'top1': 80.0})
        kept.add([run])
    assert len(RunsFile(path).records) == 2


def test_a_file_of_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'runs: must be a \.jsonl file'):
        RunsFile(tmp_path / 'runs')


@pytest.mark.parametrize('line', ['{', '[]', '{"top1": 1.0}', 'top1,seed', '3'])
def test_another_file_is_refused_and_left_alone(file, line):
    text = f'{file.read_text()}{line}\n'
    file.write_text(text)
    with pytest.raises(ValueError, match=r'line 6: no run of an experiment'):
        RunsFile(file)
    assert file.read_text() == text


def test_lines_are_sorted_and_whole(file):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    names = [line['run'] for line in lines]
    assert names == sorted(names)
    ours = next(line for line in lines if line['run'].startswith('ours-'))
    assert ours['teachers'] == {'teacher': 90.0}
    assert ours['versions'] == {'torch': '2.0'}
