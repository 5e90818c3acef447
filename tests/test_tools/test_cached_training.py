"""Training from stored teacher outputs is training by the teacher itself."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvitkd.utils.teacher_cache import checksum_file, sha256
from tests.helpers import MIMIC, NKD, save_weights, vit
from tests.test_tools.kill_hook import Interrupted
from tests.test_tools.runs import (
    PIPELINE,
    PLAIN,
    assert_same,
    begin,
    cache,
    config,
    end,
    loader,
    losses,
    message,
    run,
    weights,
)

pytestmark = pytest.mark.slow

LOG = {'default_hooks.logger': {'type': 'LoggerHook', 'interval': 1}}


def online(cached: Path, folder: Path, original: Path, **changes) -> Path:
    """The config of the same training with the teacher itself, on the same images."""
    cfg = Config.fromfile(cached)
    kind = 'teachers' if 'teachers' in cfg.model else 'teacher'
    cfg.model[kind] = Config.fromfile(original).model[kind]
    cfg.train_dataloader.dataset.type = 'ReplayedDataset'
    del cfg.train_dataloader.dataset.path
    cfg.merge_from_dict(changes)
    path = folder / 'online.py'
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    """A folder with a config, its cache, and the configs of both trainings."""
    folder = tmp_path_factory.mktemp('stored')
    original = config(folder, **LOG)
    cached = cache(original, folder / 'cache', '--shard-size', 16)
    return original, cached, online(cached, folder, original)


def test_losses_are_those_of_the_teacher_itself(stored, tmp_path):
    """Logits of all classes, and features: to float16, over both epochs."""
    _, cached, teacher = stored
    ours = run('train', cached, '--work-dir', tmp_path / 'cached')
    theirs = run('train', teacher, '--work-dir', tmp_path / 'online')
    assert ours.model.teachers['teacher'].model is None
    assert theirs.model.teachers['teacher'].model is not None
    for name in ('loss', 'loss_mimic0', 'loss_gen', 'loss_nkd'):
        one, other = losses(ours, name), losses(theirs, name)
        assert len(one) == len(other) == 8
        np.testing.assert_allclose(one, other, rtol=2e-3)
        assert one.std() > 0


def test_losses_on_few_classes_differ_by_the_tail_alone(stored, tmp_path):
    original, _, _ = stored
    kd = {'student': 'head', 'teacher': 'head', 'loss': {'type': 'KDLoss'}}
    cfg = Config.fromfile(original)
    cfg.model.terms = {'kd': kd}
    cfg.dump(tmp_path / 'kd.py')
    seen = {}
    for k in (4, 9, 10):
        cached = cache(tmp_path / 'kd.py', tmp_path / f'top{k}', '--top-k', k)
        seen[k] = losses(
            run('train', cached, '--work-dir', tmp_path / f'run{k}'), 'loss_kd'
        )
    # nine classes and the mass of the tenth are all ten
    np.testing.assert_allclose(seen[9], seen[10], rtol=5e-3)
    assert np.abs(seen[4] - seen[10]).max() > 1e-4


def test_losses_under_two_teachers_are_those_of_the_teachers_themselves(tmp_path):
    """One of them with pixels and an image size of its own."""
    original = Config.fromfile(config(tmp_path, **LOG))
    model = original.model
    own = {'mean': [0.0] * 3, 'std': [255.0] * 3}
    wide = {**vit(32, img_size=40), 'data_preprocessor': own}
    saved = save_weights(vit(32, img_size=40), tmp_path / 'wide.pth', seed=3)
    model.teachers = {
        'small': model.pop('teacher'),
        'wide': {'cfg': wide, 'checkpoint': str(saved), 'input_size': 40},
    }
    model.terms = {
        name: {**term, 'teacher': f'{teacher}:{term["teacher"]}'}
        for name, teacher, term in (
            ('mimic0', 'small', MIMIC),
            ('small', 'small', NKD),
            ('wide', 'wide', NKD),
        )
    }
    original.dump(tmp_path / 'two.py')
    cached = cache(tmp_path / 'two.py', tmp_path / 'cache', '--shard-size', 16)
    ours = run('train', cached, '--work-dir', tmp_path / 'a')
    theirs = online(cached, tmp_path, tmp_path / 'two.py')
    theirs = run('train', theirs, '--work-dir', tmp_path / 'b')
    assert {teacher.model for teacher in ours.model.teachers.values()} == {None}
    for name in ('loss', 'loss_mimic0', 'loss_small', 'loss_wide'):
        one, other = losses(ours, name), losses(theirs, name)
        assert len(one) == len(other) == 8
        np.testing.assert_allclose(one, other, rtol=2e-3)
    assert np.abs(losses(ours, 'loss_small') - losses(ours, 'loss_wide')).min() > 0.01


def test_two_processes_train_as_the_teacher_does_in_one(tmp_path):
    """The same weights after an epoch of four steps of SGD."""
    changes = {**PLAIN, 'optim_wrapper.optimizer': {'type': 'SGD', 'lr': 0.1}}
    crop = {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4}
    changes['train_dataloader'] = loader(
        'train', [PIPELINE[0], crop, PIPELINE[1]], shuffle=True
    )
    changes['model.student.train_cfg'] = {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    changes['load_from'] = str(tmp_path / 'init.pth')
    original = config(tmp_path, **changes)
    cached = cache(original, tmp_path / 'cache')
    teacher = online(cached, tmp_path, original, load_from=None)
    start = run('train', teacher, '--work-dir', tmp_path / 'x', '--cfg-options',
                'optim_wrapper.optimizer.lr=0', 'param_scheduler=None')  # fmt: skip
    torch.save({'state_dict': start.model.state_dict()}, tmp_path / 'init.pth')
    two = begin(
        'bash', 'tools/dist_train.sh', cached, 2, '--work-dir', tmp_path / 'two',
        '--cfg-options', 'train_dataloader.batch_size=8',
    )  # fmt: skip
    begun = ['--cfg-options', f'load_from={tmp_path / "init.pth"}']
    run('train', teacher, '--work-dir', tmp_path / 'one', *begun)
    end(two)
    one, two = (weights(tmp_path / n / 'epoch_1.pth') for n in ('one', 'two'))
    start = weights(tmp_path / 'init.pth')
    for key in start:
        moved = float((one[key] - start[key]).abs().max())
        apart = float((one[key] - two[key]).abs().max())
        assert apart <= 5e-3 * moved + 1e-6, key
    assert sum(bool((start[k] != one[k]).any()) for k in start) > 40


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_sees_the_epochs_that_it_would_have(stored, tmp_path, workers):
    options = ['--cfg-options', f'train_dataloader.num_workers={workers}']
    _, cached, _ = stored
    with pytest.raises(Interrupted):
        run(
            'train',
            cached,
            '--work-dir',
            tmp_path / 'a',
            *options,
            RAISE_BEFORE_ITER='6',
        )
    run('train', cached, '--work-dir', tmp_path / 'a', '--resume', *options)
    run('train', cached, '--work-dir', tmp_path / 'b')
    assert_same(*(weights(tmp_path / n / 'epoch_2.pth') for n in 'ab'))


def test_fewer_epochs_than_trained_are_seen_again_with_one_warning(
    stored, tmp_path, capsys
):
    original, _, _ = stored
    cached = cache(original, tmp_path / 'one', '--epochs', 1)
    still = ['optim_wrapper.optimizer.lr=0', 'train_cfg.max_epochs=3']
    still += ['model.student.backbone.drop_path_rate=0']
    still += ['train_dataloader.batch_size=64']
    runner = run(
        'train', cached, '--work-dir', tmp_path / 'run', '--cfg-options', *still
    )
    said = capsys.readouterr().out
    assert said.count("epoch 2: '") == said.count('are now seen again') == 1
    seen = losses(runner, 'loss_mimic0')
    assert len(seen) == 3
    np.testing.assert_allclose(seen, seen[0], rtol=1e-5)


def test_a_trained_student_is_tested_without_the_shards(stored, tmp_path):
    _, cached, _ = stored
    run('train', cached, '--work-dir', tmp_path / 'run')
    cfg = Config.fromfile(cached)
    cfg.model.teacher.path = str(tmp_path / 'cache')
    (tmp_path / 'cache').mkdir()
    shutil.copy(cached.parent / 'manifest.json', tmp_path / 'cache')
    cfg.dump(tmp_path / 'moved.py')
    run('test', tmp_path / 'moved.py', tmp_path / 'run' / 'epoch_2.pth',
        '--work-dir', tmp_path / 'test')  # fmt: skip


@pytest.fixture
def refusal(stored, tmp_path):
    """Copy the cache, hurt it, train with changes; return what is said."""

    def refused(hurt=None, **changes) -> str:
        original, cached, _ = stored
        out = tmp_path / 'cache'
        shutil.copytree(cached.parent, out)
        cfg = Config.fromfile(cached)
        cfg.model.teacher.path = cfg.train_dataloader.dataset.path = str(out)
        if hurt is not None:
            hurt(out)
        cfg.merge_from_dict(changes)
        cfg.dump(tmp_path / 'changed.py')
        return message(
            'train', tmp_path / 'changed.py', '--work-dir', tmp_path / 'refused'
        )

    return refused


DATASET = 'train_dataloader.dataset'


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({f'{DATASET}.seed': 4}, 'seed: 0 (stored) -> 4 (requested)'),
        ({f'{DATASET}.mixing': None}, "mixing: {'augments': {'"),
        ({f'{DATASET}.dataset.pipeline.1.padding': 2}, 'dataset.pipeline.1.padding: 4'),
        ({f'{DATASET}.dataset.split': 'val'}, 'dataset.split: train (stored) -> val'),
        ({f'{DATASET}.dataset.indices': 60}, 'images: 64 (stored) -> 60 (requested)'),
        ({'data_preprocessor.mean': [0.0] * 3}, 'mean, std, to_rgb.0.0: 78.0 (stored)'),
        (
            {
                'model.terms.kd': {
                    'student': 'head',
                    'teacher': 'head',
                    'loss': {'type': 'KDLoss', 'activation': 'sigmoid'},
                }
            },
            "term 'kd': KDLoss takes every logit by itself",
        ),
        ({'model.terms.gen.teacher': 'backbone'}, "no outputs of the tap 'backbone'"),
        (
            {'model.student.train_cfg': {'augments': {'type': 'Mixup', 'alpha': 0.8}}},
            'give them to the CachedDataset as mixing',
        ),
        (
            {'model.teacher.cfg': {'type': 'ImageClassifier', 'backbone': {}}},
            "cfg.backbone.arch: {'embed_dims': 24",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:20],
)
def test_what_does_not_belong_to_the_cache_is_told(refusal, changes, told):
    assert told in refusal(**changes)


def test_another_teachers_weights_are_told(refusal, stored, tmp_path):
    original, _, _ = stored
    other = torch.load(original.parent / 'teacher.pth')
    other['state_dict']['head.layers.head.bias'] += 1
    torch.save(other, tmp_path / 'other.pth')
    text = refusal(**{'model.teacher.checkpoint': str(tmp_path / 'other.pth')})
    assert 'belongs to another teacher; what differs: weights: ' in text


def test_the_own_teachers_weights_are_not(stored, tmp_path):
    original, cached, _ = stored
    teacher = Config.fromfile(original).model.teacher
    cfg = Config.fromfile(cached)
    cfg.model.teacher.update(cfg=teacher.cfg, checkpoint=teacher.checkpoint)
    cfg.train_cfg.max_epochs = 1
    cfg.dump(tmp_path / 'sure.py')
    assert run('train', tmp_path / 'sure.py', '--work-dir', tmp_path / 'run').epoch == 1


def _flip(out):
    with (out / 'epoch_0000/00002.npy').open('r+b') as file:
        file.seek(-1, 2)
        file.write(b'?')


def _other_images(out):
    pixels = dict(np.load(out / 'probe.npz'))
    np.savez(out / 'probe.npz', **{k: 255 - v for k, v in pixels.items()})


def _other_seeds(out):
    for file in out.glob('epoch_*/*.npy'):
        records = np.load(file)
        records['seed'] += 1
        np.save(file, records)
        checksum_file(file).write_text(f'{sha256(file)}  {file.name}\n')


@pytest.mark.parametrize(
    ('hurt', 'told'),
    [
        (_flip, 'shard epoch_0000/00002.npy is damaged (sha256'),
        (lambda out: (out / 'epoch_0001/00000.npy').unlink(), '1 shards are missing'),
        (lambda out: (out / 'epoch_0001/00000.npy').write_bytes(b''), 'wrong size'),
        (lambda out: (out / 'epoch_0000/00000.sha256').unlink(), 'has no checksum'),
        (lambda out: (out / 'manifest.json').unlink(), 'holds no teacher outputs'),
        (_other_images, 'as the teacher saw it, it is off by'),
        (_other_seeds, 'outputs were stored for the seed'),
    ],
    ids=['flipped', 'missing', 'short', 'unsummed', 'unwritten', 'pixels', 'seeds'],
)
def test_a_hurt_cache_is_refused(refusal, hurt, told):
    assert told in refusal(hurt)


def test_samples_without_outputs_are_refused(stored, tmp_path):
    """The teacher of the cache, on the images of an ordinary data loader."""
    _, cached, _ = stored
    cfg = Config.fromfile(cached)
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.dataset
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.dump(tmp_path / 'plain.py')
    text = message('train', tmp_path / 'plain.py', '--work-dir', tmp_path / 'run')
    assert "dataset=dict(type='mmvitkd.CachedDataset'" in text
