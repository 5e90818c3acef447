"""A comparison that is run: killed, gone on with, and written."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.shrink import CONFIGS

from .comparisons import entry, write_methods
from .in_process import Done, call

pytestmark = pytest.mark.slow

ROWS = [
    entry(
        'two teachers',
        'co_advise/co-advise-plain_digits.py',
        differs={'model.student': 'two tokens'},
    ),
    entry(
        'impossible',
        'digits/vitkd_digits.py',
        options={'optim_wrapper.optimizer.lr': -1.0},
    ),
]


OPTIONS = [
    *('--methods', 'mine.py', '--work-dir', 'runs', '--max-epochs', '2'),
    *('--seeds', '1', '--tuning-seeds', '1', '--rounds', '2', '--gpus', '0'),
]


def compare(folder: Path, *args: str, **env: str) -> Done:
    return call('compare', folder, *OPTIONS, *args, **env)


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
    """A folder in which KD was killed once, and what two calls said."""
    folder = tmp_path_factory.mktemp('compare')
    options = {
        'train_dataloader.dataset.num_labels': 50,
        'train_dataloader.batch_size': 10,
        'test_dataloader.dataset.indices': 200,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.check.allow_chance': True,  # of teachers of two epochs
        'custom_imports': {'imports': ['tests.test_tools.kill_hook']},
        'custom_hooks': [{'type': 'KillHook'}],
        'test_evaluator': [
            {'type': 'Accuracy', 'topk': 1},
            {'type': 'mmvitkd.ExpectedCalibrationError'},
        ],
        'default_hooks.corruptions': {'type': 'mmvitkd.CorruptionHook', 'images': 20},
    }
    write_methods(folder / 'mine.py', ROWS, options)
    killed = compare(folder, '--only', 'KD', KILL_BEFORE_ITER='6')
    return folder, killed, compare(folder)


def rows(folder: Path) -> dict[str, dict]:
    with open(folder / 'runs' / 'results' / 'mine.csv') as file:
        return {row['method']: row for row in csv.DictReader(file)}


def finished(folder: Path) -> dict[str, float]:
    """What every finished run measured, by its folder without the key."""
    return {
        f'{file.parts[-3].rpartition("-")[0]} {file.parts[-2]}': json.loads(
            file.read_text()
        )['top1']
        for file in folder.glob('runs/*/seed*/result.json')
    }


def test_what_was_killed_goes_on(ran):
    folder, (code, killed), (_, done) = ran
    assert code == 1
    assert 'its process ended with code -9' in killed
    tried = list(folder.glob('runs/KD-x*tuning*/seed10'))
    assert len(tried) == 2
    for run in tried:
        logs = ''.join(log.read_text() for log in run.glob('*/*.log'))
        assert 'resumed epoch: 1, iter: 5' in logs
    for said, left in ((killed, 1), (done, 0)):
        (line,) = (x for x in said.splitlines() if x.endswith('  teacher ViT'))
        assert line.startswith(f'  {left} of 1 runs to do')


def test_every_try_and_the_chosen_one_are_run(ran):
    folder, _, _ = ran
    found, table = finished(folder), rows(folder)
    names = {'teacher-ViT seed0', 'teacher-ResNet seed0', 'alone seed0'}
    for method, slug in (('KD', 'KD'), ('two teachers', 'two-teachers')):
        tried = {f: found[f'{slug}-x-{f:g}-tuning seed10'] for f in (0.25, 4)}
        chosen = float(table[method]['factor'])
        assert tried[chosen] == max(tried.values())
        assert table[method]['factor_at_the_end'] == 'True'
        top1 = found[f'{slug}-x-{chosen:g} seed0']
        assert float(table[method]['mean']) == pytest.approx(top1, abs=1e-4)
        difference = float(table[method]['minus_baseline'])
        assert difference == pytest.approx(top1 - found['alone seed0'], abs=1e-4)
        for factor, value in tried.items():
            ours = float(table[method][f'validated_x{factor:g}'])
            assert ours == pytest.approx(value, abs=1e-4)
        names |= {f'{slug}-x-{f:g}-tuning seed10' for f in (0.25, 4)}
        names.add(f'{slug}-x-{chosen:g} seed0')
    assert set(found) == names


def test_tuning_was_tested_on_other_images_than_the_test(ran):
    folder, _, _ = ran
    for file in folder.glob('runs/*/seed*/config.json'):
        if file.parts[-3].startswith('teacher'):
            continue
        assert ('"split": "test"' in file.read_text()) == (file.parts[-2] == 'seed0')


def test_the_test_measures_more_than_accuracy_and_tuning_does_not(ran):
    folder, _, _ = ran
    for file in folder.glob('runs/*/seed*/result.json'):
        found = json.loads(file.read_text())
        tested = file.parts[-2] == 'seed0' and not file.parts[-3].startswith('teacher')
        for metric in ('ece', 'corrupted'):
            assert (found[metric] is not None) == tested
    table = rows(folder)
    for method in ('alone', 'KD', 'two teachers'):
        assert 0 <= float(table[method]['corrupted_mean']) < 100
        assert float(table[method]['corrupted_contrast_mean']) >= 0
    page = (folder / 'runs' / 'results' / 'mine.md').read_text()
    assert '## Beyond accuracy' in page
    assert '| method | gaussian_noise | shot_noise |' in page


def test_each_teacher_teaches_its_term(ran):
    folder, _, _ = ran
    (file,) = folder.glob('runs/two-teachers-x-*/seed0/config.json')
    teachers = Config.fromfile(file).model.teachers
    for name, kind in (('conv', 'ResNet'), ('inv', 'ViT')):
        assert teachers[name].checkpoint.startswith(f'runs/teacher-{kind}-')
        assert (folder / teachers[name].checkpoint).is_file()


def test_a_failed_method_leaves_its_reason_and_the_rest_goes_on(ran):
    folder, _, (code, said) = ran
    assert code == 1
    page = (folder / 'runs' / 'results' / 'mine.md').read_text()
    (row, *_) = (line for line in page.splitlines() if line.startswith('| impossible'))
    assert 'tuning failed: ' in row
    assert 'Invalid learning rate: -1.0' in row
    assert 'failed: impossible x 0.25, tuning, seed 10: optim_wrapper' in said
    assert 'Invalid learning rate' in rows(folder)['impossible']['failures']


def test_costs_are_measured_of_what_ran(ran):
    folder, _, _ = ran
    table = rows(folder)
    assert table['impossible']['step_ratio'] == ''
    assert float(table['KD']['step_ratio']) == 1
    assert 0 < float(table['alone']['step_ratio']) < 1
    for method in ('alone', 'KD', 'two teachers'):
        assert int(table[method]['memory']) > 0
    sizes = {
        key: {
            method: int(table[method][key])
            for method in ('alone', 'KD', 'two teachers')
        }
        for key in ('parameters', 'multiply_adds')
    }
    for found in sizes.values():
        assert found['alone'] == found['KD'] < found['two teachers']
    # two tokens, their positions, two heads
    extra = 2 * 32 + 2 * 32 + 2 * (32 * 10 + 10)
    assert sizes['parameters']['two teachers'] - sizes['parameters']['alone'] == extra
    page = (folder / 'runs' / 'results' / 'mine.md').read_text()
    table = [[cell.strip() for cell in x.split('|')[1:4]] for x in page.splitlines()]
    size = f'{sizes["parameters"]["two teachers"]:,}'
    assert ['two teachers', 'two tokens', size] in table


def test_a_page_is_written_again_from_what_is_there(ran):
    """Nothing runs, nothing is measured, and the numbers are the same."""
    folder, _, _ = ran
    before = finished(folder)
    code, said = compare(folder, '--report-only', '--out', 'again')
    assert code == 1  # as one method failed
    assert 'again/mine.md' in said
    assert finished(folder) == before
    for suffix in ('csv', 'md', 'tex'):
        again = (folder / 'again' / f'mine.{suffix}').read_text()
        assert again == (folder / 'runs' / 'results' / f'mine.{suffix}').read_text()
    for name in ('mine', 'mine-costs'):
        for suffix in ('svg', 'png'):
            assert (folder / 'again' / f'{name}.{suffix}').stat().st_size > 5000
    assert '(mine-costs.svg)' in (folder / 'again' / 'mine.md').read_text()


LOSS = """
import pytest
from mmvitkd.models import DistillLoss
from mmvitkd.registry import MODELS
from tests.conftest import leave_layout

leave_layout(pytest.MonkeyPatch())  # which takes long

@MODELS.register_module()
class SquaredLoss(DistillLoss):
    def equation(self, student, teacher):
        return (student - teacher).square().mean()
"""


def test_a_method_of_ones_own_package_is_compared(ran, tmp_path):
    """From a folder outside the checkout, by naming its config, under its teacher."""
    folder = shutil.copytree(ran[0], tmp_path / 'project')
    package = tmp_path / 'site' / 'our_method'
    package.mkdir(parents=True)
    (package / '__init__.py').write_text(LOSS)
    (weights,) = folder.glob('runs/teacher-ViT-*/seed0/epoch_2.pth')
    teacher = shutil.copy(weights, folder / 'teacher.pth')
    term = {
        'student': 'head',
        'teacher': 'head',
        'loss': {'type': 'SquaredLoss', 'loss_weight': 0.5},
    }
    (folder / 'squared.py').write_text(
        f'_base_ = {str(CONFIGS / "digits" / "vitkd_digits.py")!r}\n'
        'custom_imports = dict(imports=["our_method"])\n'
        'optim_wrapper = dict(optimizer=dict(lr=0.01))\n'
        f'model = dict(teacher=dict(checkpoint={str(teacher)!r}),\n'
        f'             terms=dict(_delete_=True, squared={term!r}))\n'
    )
    paths = [str(CONFIGS.parent), str(package.parent)]
    command = [sys.executable, '-m', 'mmvitkd', 'compare', 'squared.py', *OPTIONS]
    done = subprocess.run(
        [*command, '--only', 'KD', '--out', 'out'],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # all but its own are there
    assert done.stdout.count('  0 of 3 runs to do') == 1
    assert '3 of 3 runs to do' in done.stdout
    with open(folder / 'out' / 'mine.csv') as file:
        table = {row['method']: row for row in csv.DictReader(file)}
    assert [*table] == ['alone', 'KD', 'squared']
    assert 0 < float(table['squared']['mean']) < 100
    assert float(table['squared']['step_ratio']) > 0
    assert table['squared']['teacher'] == 'project/teacher.pth'
    page = (folder / 'out' / 'mine.md').read_text()
    assert '`python -m mmvitkd compare squared.py --methods mine.py --only KD ' in page
    assert '- squared: optim_wrapper.optimizer.lr = 0.01 (baseline: ' in page
    assert 'our_method' not in page
    (config,) = folder.glob('runs/squared-x-*/seed0/config.json')
    term = json.loads(config.read_text())['model']['terms']['squared']
    factor = float(table['squared']['factor'])
    assert term['loss']['loss_weight'] == 0.5 * factor
