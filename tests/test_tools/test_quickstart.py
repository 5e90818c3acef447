"""The quickstart, run as its users run it, with trainings of one epoch."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmvitkd.commands import main
from mmvitkd.datasets import Digits
from mmvitkd.experiments.quickstart import report, runs
from mmvitkd.experiments.quickstart.quickstart import (
    MARKER,
    _SeedBySeed,
    compare_seed,
)
from mmvitkd.experiments.run import Run, Setting
from mmvitkd.utils.run_lock import lock_dir
from tests.helpers import save_weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RUNS = [f'{name}, seed 0' for name in ('teacher', 'baseline', 'vitkd', 'vitkd-nkd')]


def run(work_dir: Path) -> subprocess.CompletedProcess:
    """Run it with one seed and one epoch, outside the checkout."""
    options = ['--seeds', '1', '--max-epochs', '1', '--device', 'cpu']
    return subprocess.run(
        [
            sys.executable,
            ROOT / 'tools/quickstart.py',
            *options,
            '--work-dir',
            work_dir,
        ],
        cwd=work_dir.parent,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=550,
    )


def stamps(work_dir: Path) -> dict[str, int]:
    """When each training's checkpoint was written."""
    return {
        file.parts[-3].rpartition('-')[0]: file.stat().st_mtime_ns
        for file in work_dir.glob('runs/*/seed0/epoch_1.pth')
    }


@pytest.fixture(scope='module')
def first(tmp_path_factory):
    """A whole run: its output and its work dir, which the tests leave as it is."""
    work_dir = tmp_path_factory.mktemp('quickstart') / 'made' / 'here'
    work_dir.parent.mkdir()
    return run(work_dir), work_dir


def test_ends_with_one_table_and_the_paths(first):
    done, work_dir = first
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()  # that it loads libraries, and works
    assert all(line.startswith('quickstart: ') for line in told), done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith('|')]
    names = [row.split('|')[1].strip() for row in table]
    assert names[2:] == [
        'teacher',
        'student, baseline',
        'student, ViTKD',
        'student, ViTKD + NKD',
    ]
    assert '\n'.join(table) + '\n' == (work_dir / 'table.md').read_text()
    last = done.stdout.splitlines()[-5:]
    assert [Path(line).name for line in last] == [
        'table.md',
        'figure.png',
        'student.pth',
        'student.py',
        'report.html',
    ]
    assert all(Path(line).is_file() for line in last)


def test_table_shows_what_was_measured(first):
    _, work_dir = first
    results = json.loads((work_dir / 'results.json').read_text())
    rows = (work_dir / 'table.md').read_text().splitlines()[2:]
    cells = [[cell.strip() for cell in row.split('|')[2:-1]] for row in rows]
    tests = [f'{run["test"]:.1f}' for run in results['runs']]
    assert [row[5] for row in cells] == tests
    assert [row[0] for row in cells] == ['700', '200', '200', '200']
    assert [row[1] for row in cells] == ['1,218,186', '83,370', '83,370', '83,370']
    teacher, student = (results['costs'][name] for name in ('teacher', 'student'))
    assert teacher['ratio_to_teacher'] == 1
    assert cells[1][4] == (
        f'{1000 * student["p50_seconds"]:.2f} ({student["ratio_to_teacher"]:.2f})'
    )
    assert cells[0][4].endswith(' (1.00)')


def test_progress_tells_the_time_left(first):
    done, _ = first
    lines = [line for line in done.stdout.splitlines() if line.startswith('[')]
    assert lines
    assert any(re.search(r'about \d+:\d\d left', line) for line in lines)
    assert 'mmengine' not in done.stdout


def test_figure_is_drawn(first):
    _, work_dir = first
    image = cv2.imread(str(work_dir / 'figure.png'))
    assert image is not None
    assert image.std() > 10
    assert '<svg' in (work_dir / 'figure.svg').read_text()


def test_report_shows_every_run_of_this_call(first):
    _, work_dir = first
    page = (work_dir / 'report.html').read_text()
    assert '<title>Quickstart on digits</title>' in page
    for name in runs.CONFIGS:
        assert f'<th scope="row" data-key="{name}">' in page
    assert '4 runs, ' in page
    # all models could be looked into
    assert 'can not be looked into' not in page
    assert 'id="distance"' in page


def test_exported_student_needs_mmpretrain_alone(first):
    """In a process that cannot import this package."""
    _, work_dir = first
    code = (
        'import sys\n'
        'sys.modules["mmvitkd"] = None\n'
        'from mmpretrain import ImageClassificationInferencer as Inferencer\n'
        'ask = Inferencer("student.py", pretrained="student.pth", device="cpu")\n'
        'print("\\nanswer", ask("digit.png")[0]["pred_class"])\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=work_dir,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert re.search(r'^answer \d$', done.stdout, re.M), done.stderr
    assert 'unexpected key' not in done.stdout + done.stderr
    assert 'missing keys' not in done.stdout + done.stderr


def test_exported_student_is_the_one_that_validated_best(first):
    done, work_dir = first
    students = json.loads((work_dir / 'results.json').read_text())['runs'][1:]
    best = max(students, key=lambda run: run['val'])
    trained = torch.load(
        work_dir / 'runs' / best['folder'] / 'epoch_1.pth', weights_only=False
    )['state_dict']
    exported = torch.load(work_dir / 'student.pth', weights_only=True)['state_dict']
    prefix = '' if best['arm'] == 'baseline' else 'student.'
    for key, value in exported.items():
        assert torch.equal(value, trained[prefix + key])
    share = f'{best["test"]:.1f} % of the test images ({best["test"]:.1f} % when'
    assert share in done.stdout


def test_image_file_is_a_test_digit(first):
    _, work_dir = first
    image = cv2.imread(str(work_dir / 'digit.png'))
    assert np.array_equal(image, Digits('test')[0]['img'])


def test_second_run_reuses_what_is_finished(first):
    """And trains again, to the same end, what was cut short."""
    before, work_dir = first
    assert before.returncode == 0, before.stderr
    old = stamps(work_dir)
    (cut,) = work_dir.glob('runs/vitkd-????????/seed0')
    numbers = json.loads((cut / 'result.json').read_text())
    for name in ('result.json', 'epoch_1.pth', 'last_checkpoint'):
        (cut / name).unlink()

    done = run(work_dir)
    assert done.returncode == 0, done.stderr
    reused = next(s for s in done.stdout.splitlines() if s.startswith('Reused'))
    left = [name for name in RUNS if name != 'vitkd, seed 0']
    assert reused == f'Reused: {"; ".join(left)}'
    changed = {name for name, stamp in stamps(work_dir).items() if stamp != old[name]}
    assert changed == {'vitkd'}
    again = json.loads((cut / 'result.json').read_text())
    for line in (again, numbers):  # how long it took, and on which day
        del line['seconds'], line['date']
    assert again == numbers
    assert not list(work_dir.glob('earlier-*'))


def plan(root: Path, seeds: int = 2, max_epochs: int | None = None) -> list[Run]:
    return runs.plan(root, seeds, max_epochs, 'cpu')


def test_plan_trains_every_student_equally(tmp_path):
    planned = plan(tmp_path)
    assert [(one.setting.name, one.seed) for one in planned] == [
        ('teacher', 0),
        *(
            (name, seed)
            for seed in (0, 1)
            for name in ('baseline', 'vitkd', 'vitkd-nkd')
        ),
    ]
    baseline, *others = [one.config() for one in planned[1:] if one.seed == 0]
    for cfg in others:
        for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'randomness'):
            assert cfg[key] == baseline[key]
        assert cfg.model.teacher.checkpoint == str(planned[0].checkpoint)


@pytest.mark.parametrize('change', [{'max_epochs': 1}, {'seeds': 1}])
def test_other_settings_make_other_folders(tmp_path, change):
    here, there = ({one.folder for one in plan(tmp_path, **c)} for c in ({}, change))
    assert here & there == (there if 'seeds' in change else set())


def test_changed_code_makes_other_folders(tmp_path, monkeypatch):
    before = plan(tmp_path)
    monkeypatch.setattr(runs, 'code_digest', lambda: 'changed')
    after = plan(tmp_path)
    assert not {one.folder for one in before} & {one.folder for one in after}


def test_results_of_other_settings_are_kept(tmp_path):
    old, new = (
        [Run(Setting('teacher', Config({'a': a})), 0, tmp_path / 'runs')] for a in 'xy'
    )
    (tmp_path / 'table.md').write_text('of old')
    report.save_results(old, {}, tmp_path / 'results.json')

    assert report.keep_earlier(old, tmp_path) is None
    assert report.keep_earlier(new, tmp_path) == tmp_path / 'earlier-1'
    assert (tmp_path / 'earlier-1' / 'table.md').read_text() == 'of old'


TESTED = {
    'teacher': [97],
    'baseline': [80, 81, 82],
    'vitkd': [90, 91, 92],
    'vitkd-nkd': [80, 81, 83],
}


def finish(one: Run) -> None:
    result = {'val': 0, 'seconds': 0, 'test': TESTED[one.setting.name][one.seed]}
    one.keep(result)


def test_a_seed_is_compared_when_its_last_run_ends(tmp_path, capsys):
    """Whichever that is, but not the whole's last: the table comes then."""
    planned = plan(tmp_path)
    teacher, *students = planned
    progress = _SeedBySeed(planned, planned, {})
    order = [students[0], students[3], teacher, *students[1:3], *students[4:]]
    said = []
    for number, one in enumerate(order, 1):
        finish(one)
        progress.ended(one, order[number:])
        said.append('test, seed' in capsys.readouterr().out)
    assert said == [False] * 4 + [True] + [False] * 2
    assert compare_seed(planned, 1).strip() == (
        'test, seed 1: teacher 97.0 %; student, baseline 81.0 %; student, ViTKD 91.0 % '
        '(+10.0); student, ViTKD + NKD 81.0 % (+0.0)'
    )


def test_table_compares_with_the_baseline(tmp_path):
    """Mean and spread, the paired gain, and a p of the family; by hand."""
    planned = plan(tmp_path, seeds=3)
    for one in planned:
        finish(one)
    cost = {'labels': 1, 'parameters': 1, 'flops': 1, 'images_per_second': 1}
    cost |= {'p50_seconds': 0.0025, 'ratio_to_teacher': 1.0}
    columns = report.columns_of(planned, {'teacher': cost, 'student': cost})
    assert columns['top-1, %'] == ['97.0', '81.0 ± 1.0', '91.0 ± 1.0', '81.3 ± 1.5']
    assert columns['p50, ms'] == 4 * ['2.50 (1.00)']
    assert columns['gain'] == ['', '', '+10.0 ± 0.0', '+0.3 ± 0.6']
    assert columns['p'][:3] == ['', '', '< 0.001']
    assert float(columns['p'][3]) > 0.5


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--seeds', '0'], '--seeds 0: give 1 or more'),
        (['--max-epochs', '-1'], '--max-epochs -1: give 1 or more'),
        (['--jobs', '0'], '--jobs 0: give 1 or more'),
        (['--device', 'cuda'], '--device cuda: torch finds no CUDA device'),
    ],
)
def test_bad_options_are_refused(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    work_dir = tmp_path / 'new'
    assert call([*options, '--work-dir', str(work_dir)]) == 1
    assert one_line(capsys).startswith(f'quickstart: {message}')
    assert not work_dir.exists()


def test_folder_of_another_owner_is_refused(tmp_path, capsys):
    (tmp_path / 'table.md').write_text('mine')
    assert call(['--work-dir', str(tmp_path)]) == 1
    assert 'holds other things, which are left alone' in one_line(capsys)
    assert [file.name for file in tmp_path.iterdir()] == ['table.md']
    assert (tmp_path / 'table.md').read_text() == 'mine'


def test_file_as_work_dir_is_refused(tmp_path, capsys):
    file = tmp_path / 'notes.txt'
    file.write_text('mine')
    assert call(['--work-dir', str(file)]) == 1
    assert 'is a file' in one_line(capsys)
    assert file.read_text() == 'mine'


def test_second_run_at_the_same_time_is_refused(tmp_path, capsys):
    (tmp_path / MARKER).touch()
    with lock_dir(tmp_path):
        assert call(['--work-dir', str(tmp_path)]) == 1
    assert 'another run works in' in one_line(capsys)


def test_students_start_equal(tmp_path, monkeypatch):
    """The same seed gives the same student, and the same first batch."""
    monkeypatch.chdir(tmp_path)
    starts = []
    for path in map(runs.config_file, runs.STUDENTS):
        cfg = Config.fromfile(path)
        if 'teacher' in cfg.model:
            checkpoint = save_weights(cfg.model.teacher.cfg, tmp_path / 'teacher.pth')
            cfg.model.teacher.checkpoint = str(checkpoint)
        cfg.merge_from_dict(
            {
                'randomness.seed': 7,
                'work_dir': str(tmp_path / path.stem),
                'experiment_name': f'equal-start-{path.stem}',
            }
        )
        runner = Runner.from_cfg(cfg)
        runner.model.init_weights()
        batch = next(iter(runner.build_dataloader(cfg.train_dataloader, seed=7)))
        student = getattr(runner.model, 'student', runner.model)
        starts.append((student.state_dict(), torch.stack(batch['inputs'])))

    (weights, images), *others = starts
    for other_weights, other_images in others:
        assert weights.keys() == other_weights.keys()
        assert all(torch.equal(weights[key], other_weights[key]) for key in weights)
        assert torch.equal(images, other_images)


def call(options: list[str]) -> int:
    """Run the command, which shall end by itself; return its exit code."""
    with pytest.raises(SystemExit) as end:
        main('quickstart', options)
    return end.value.code


def one_line(capsys) -> str:
    """Return what was printed, which must be one line on stderr."""
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1
    return err
