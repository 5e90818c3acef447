import math
from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.models import CutMix, Mixup, RandomBatchAugment

from tests.helpers import build, samples
from tests.shrink import FIRST, NEIGHBOURS, RUNNABLE, shrink

EVERY = {path.stem: path for path in RUNNABLE}
NAMES = [
    pytest.param(name, marks=() if path in FIRST else pytest.mark.slow)
    for name, path in EVERY.items()
]


def train(cfg: Config) -> Runner:
    """Train by the real runner; return it."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize('name', NAMES)
def test_trains_and_validates(name, tmp_path):
    """Two steps on real images, from dataloader to checkpoint."""
    cfg = shrink(Config.fromfile(EVERY[name]), tmp_path)
    runner = train(cfg)

    log = runner.message_hub.log_scalars
    head = cfg.model.get('head', {})
    losses = {
        'train/loss',
        *(f'train/loss_{term}' for term in cfg.model.get('terms', {})),
        *(f'train/loss_{part}' for part in ('contrast',) if part in head),
    }
    assert {key for key in log if 'loss' in key} == losses
    # a model this fresh is certain of no image, so a margin may leave none
    with_margin = 'margin' in head.get('contrast', {})
    # until its widths are pruned, a student that teaches itself is its teacher
    hooks = cfg.get('custom_hooks') or []
    is_teacher = any(hook.get('skip') is False for hook in hooks)
    for key in losses:
        values = log[key].data[0]
        assert len(values) == 2
        if is_teacher and key == 'train/loss_kd':
            assert values.tolist() == pytest.approx([0, 0], abs=1e-6)
            continue
        assert all(math.isfinite(v) and v >= 0 for v in values)
        may_be_zero = with_margin and key == 'train/loss_contrast'
        assert may_be_zero or all(v > 0 for v in values)
    if cfg.val_cfg is not None:  # some have no labels to validate by
        validated = 'accuracy/top1' if cfg.val_evaluator else f'knn{NEIGHBOURS}/top1'
        assert log[f'val/{validated}'].data[1].sum() == 1
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


# terms on a schedule; no labels; a teacher that another run makes
ALONE = ('dearkd_digits', 'manifold_digits', 'vitkd-nkd_own-data')


@pytest.mark.parametrize('name', ALONE)
def test_without_terms_the_student_trains_alone(name, tmp_path):
    cfg = shrink(Config.fromfile(EVERY[name]), tmp_path)
    cfg.model.terms = None
    log = train(cfg).message_hub.log_scalars
    assert {key for key in log if 'loss' in key} == {'train/loss'}
    assert log['train/loss'].data[0].min() > 0


@pytest.mark.parametrize('name', NAMES)
def test_mixup_and_cutmix_are_the_students(name, tmp_path):
    """A wrapper that keeps them to itself would train without them, silently."""
    cfg = shrink(Config.fromfile(EVERY[name]), tmp_path)
    train_cfg = cfg.model.get('student', cfg.model).get('train_cfg')
    processor = build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    processor = processor.data_preprocessor
    if train_cfg is None:
        assert processor.batch_augments is None
        return
    assert isinstance(processor.batch_augments, RandomBatchAugment)
    if isinstance(train_cfg.augments, dict):  # of images without labels
        (mixup,) = processor.batch_augments.augments
        assert (type(mixup), mixup.alpha) == (Mixup, 1.0)
        return
    mixup, cutmix, *none = processor.batch_augments.augments
    assert none == ([None] if 'probs' in train_cfg else [])
    alphas = [augment['alpha'] for augment in train_cfg['augments']]
    assert (type(mixup), mixup.alpha) == (Mixup, alphas[0])
    assert (type(cutmix), cutmix.alpha) == (CutMix, alphas[1])

    assert len(train_cfg.get('probs', [0, 0])) == 2  # the config is as it was

    data = {'inputs': torch.zeros(2, 3, 64, 64), 'data_samples': samples([0, 1])}
    scores = [s.gt_score for s in processor(data, training=True)['data_samples']]
    assert torch.stack(scores).sum(1).tolist() == pytest.approx([1, 1])
    assert scores[0].shape == (cfg.data_preprocessor.num_classes,)


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmvitkd'])
def test_either_default_scope_works(scope, tmp_path):
    name = 'vitkd-nkd_deit-tiny_deit3-small_8xb128_in1k'
    cfg = shrink(Config.fromfile(EVERY[name]), tmp_path)
    cfg.default_scope = scope
    runner = train(cfg)
    teacher = runner.model.teachers['teacher'].model
    assert type(teacher.backbone).__module__.startswith('mmvitkd.')
    assert runner.message_hub.get_scalar('train/loss_nkd').current() > 0


def test_full_size_pair_builds():
    """DeiT III-Small and DeiT-Tiny, whose weights only training would fetch."""
    name = 'vitkd-nkd_deit-tiny_deit3-small_8xb128_in1k'
    model = build(Config.fromfile(EVERY[name]).model)
    student = sum(p.numel() for p in model.student.parameters())
    teacher = sum(p.numel() for p in model.teachers['teacher'].model.parameters())
    assert round(student / 1e6, 2) == 5.72
    assert round(teacher / 1e6, 2) == 22.06
    for term in ('mimic0', 'mimic1'):
        assert model.terms[term].neck.fc.weight.shape == (384, 192)
    assert model.terms['gen'].neck.mask_token.shape == (1, 1, 384)
    assert model.terms['nkd'].neck is None


def test_base_names_are_unique():
    """MIM finds a config by its base name alone."""
    names = Counter(path.name for path in RUNNABLE)
    assert [name for name, count in names.items() if count > 1] == []
