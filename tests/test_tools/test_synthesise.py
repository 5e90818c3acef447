"""``python -m mmvitkd synthesise`` by the digits' ResNet, and training by it."""

import itertools
import json
import os
import shutil
import signal
from unittest import mock

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmvitkd.synthesis import synthesise
from mmvitkd.utils.teacher_cache import write_whole
from tests.helpers import save_weights
from tests.shrink import CONFIGS, shrink
from tests.test_tools.runs import config, in_processes, message, run

CONFIG = CONFIGS / 'dearkd' / 'df-dearkd_digits.py'
COUNT = 23


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Random weights of the teacher and of the student."""
    folder = tmp_path_factory.mktemp('synthesise')
    model = Config.fromfile(CONFIG).model
    save_weights(model.teacher.cfg, folder / 'teacher.pth')
    save_weights(model.student, folder / 'student.pth')
    return folder


def command(folder, out, **options):
    options = {
        '--count': COUNT,
        '--batch-size': 6,
        '--coarse-steps': 1,
        '--steps': 2,
        **options,
    }
    words = [word for pair in options.items() for word in pair]
    teacher = f'model.teacher.checkpoint={folder / "teacher.pth"}'
    return 'synthesise', CONFIG, '--out', out, *words, '--cfg-options', teacher


@pytest.fixture(scope='module')
def out(folder):
    run(*command(folder, folder / 'out'))
    return folder / 'out'


def content(out):
    """All that is in a folder but the lock, by name."""
    files = (file for file in out.rglob('*') if file.is_file())
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in files
        if not file.name.startswith('.')
    }


def test_it_writes_as_many_of_every_class(out):
    files = [name for name in content(out) if name != 'manifest.json']
    numbers = np.bincount([int(name.split('/')[1]) for name in files])
    assert sorted(numbers) == [2] * 7 + [3] * 3
    names = sorted(name.split('/')[2] for name in files)
    assert names == [f'{i:02d}.png' for i in range(COUNT)]
    with Image.open(out / files[0]) as image:
        assert (image.mode, image.size) == ('RGB', (32, 32))
    manifest = json.loads((out / 'manifest.json').read_text())
    assert (manifest['count'], manifest['classes']) == (COUNT, 10)
    assert manifest['recipe']['steps'] == 2


def test_the_same_seed_makes_the_same_bytes(folder, out):
    run(*command(folder, folder / 'again'))
    assert content(folder / 'again') == content(out)
    run(*command(folder, folder / 'other', **{'--seed': 1}))
    other = content(folder / 'other')
    assert not set(other.values()) & set(content(out).values())


def killed_at(image, *words):
    """Run a command that ends by SIGKILL before it writes so many images."""
    images = itertools.count(1)

    def write(file, content):
        if file.suffix == '.png' and next(images) == image:
            os.kill(os.getpid(), signal.SIGKILL)
        write_whole(file, content)

    with mock.patch.object(synthesise, 'write_whole', write):
        run(*words)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_bytes(folder, out):
    """In the second batch, of which three images are written then."""
    killed = folder / 'killed'
    words = command(folder, killed)
    in_processes(1, killed_at, 10, *words, code=-signal.SIGKILL)
    times = {file: file.stat().st_mtime_ns for file in killed.rglob('*.png')}
    assert len(times) == 9
    run(*words)
    assert content(killed) == content(out)
    kept = {f.name for f, before in times.items() if f.stat().st_mtime_ns == before}
    assert kept == {f'{i:02d}.png' for i in range(6)}


def test_only_a_batch_that_lacks_something_is_made_again(folder, out, tmp_path, capsys):
    part = tmp_path / 'part'
    shutil.copytree(out, part)
    (lost,) = part.rglob('07.png')  # of the second batch
    lost.rename(lost.with_name('07.png.part'))
    run(*command(folder, part))
    assert "3 of 4 batches are in '" in capsys.readouterr().out
    assert content(part) == content(out)
    run(*command(folder, part))
    assert 'teacher tells' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ('option', 'value', 'difference'),
    [
        ('--seed', 3, 'seed: 0 (stored) -> 3'),
        ('--lr', 0.1, 'recipe.lr: 0.25 (stored) -> 0.1'),
        ('--count', 30, 'count: 23 (stored) -> 30'),
    ],
)
def test_another_runs_folder_is_refused(folder, out, option, value, difference):
    before = content(out)
    said = message(*command(folder, out, **{option: value}))
    assert 'holds the images of another run' in said and difference in said
    assert content(out) == before


def test_a_folder_with_something_else_is_refused(folder, tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    said = message(*command(folder, tmp_path))
    assert "holds something else, ['thesis.txt']: give --out an empty folder" in said
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


def test_a_damaged_manifest_is_named(folder, tmp_path):
    (tmp_path / 'manifest.json').write_text('{')
    said = message(*command(folder, tmp_path))
    assert f"'{tmp_path / 'manifest.json'}' is damaged" in said


def test_a_teacher_without_batch_norm_is_refused(tmp_path):
    words = (config(tmp_path), '--count', 10, '--out', tmp_path / 'out')
    said = message('synthesise', *words)
    assert 'VisionTransformer' in said and 'has no BatchNorm' in said
    assert 'such as a ResNet' in said
    assert not (tmp_path / 'out').exists()


def test_fewer_images_than_classes_are_refused(folder, tmp_path):
    said = message(*command(folder, tmp_path, **{'--count': 9}))
    assert '--count 9: the teacher has 10 classes' in said


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('--steps', 0),
        ('--batch-size', 1),
        ('--lr', 'inf'),
        ('--easy', 2),
        ('--size', 1),
    ],
)
def test_values_that_make_no_sense_are_refused(folder, tmp_path, option, value, capsys):
    message(*command(folder, tmp_path / 'none', **{option: value}))
    assert f'{option} must be' in capsys.readouterr().err


def test_a_students_weights_make_other_images(folder, out, tmp_path):
    student = {'--student': folder / 'student.pth'}
    run(*command(folder, tmp_path / 'out', **student))
    images = content(tmp_path / 'out')
    manifest = json.loads(images['manifest.json'])
    assert len(manifest['student']) == 64
    assert images.keys() == content(out).keys()
    assert images != content(out)
    teachers = {'--student': folder / 'teacher.pth'}
    said = message(*command(folder, tmp_path / 'none', **teachers))
    assert "does not fit the config's student" in said


def test_a_student_trains_on_the_images(out, tmp_path):
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.data_root = str(out)
    runner = Runner.from_cfg(shrink(cfg, tmp_path))
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert dataset.data_prefix['img_path'] == str(out / 'train')
    assert runner.message_hub.get_scalar('train/loss').current() > 0
    assert runner.message_hub.get_scalar('train/loss_hidden0').current() > 0
