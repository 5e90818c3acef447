"""A config of MMEngine's new style, whose types are classes, trains like any other."""

from pathlib import Path

import pytest
import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper

from mmvitkd.engine import Bfloat16OptimWrapper
from tests.helpers import save_weights, vit
from tests.test_tools.kill_hook import Interrupted
from tests.test_tools.runs import assert_same, message, run, weights

BASE = """
from mmengine.dataset import DefaultSampler
from mmpretrain.datasets import PackInputs, Resize
from mmpretrain.evaluation import Accuracy

from mmvitkd.datasets import Digits

default_scope = 'mmvitkd'
pipeline = [dict(type=Resize, scale=32), dict(type=PackInputs)]
data_preprocessor = dict(num_classes=10, mean=[78.0] * 3, std=[96.0] * 3)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(type=Digits, split='train', indices=64, pipeline=pipeline),
    sampler=dict(type=DefaultSampler, shuffle=True),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(type=Digits, split='val', indices=64, pipeline=pipeline),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type=Accuracy, topk=1)
randomness = dict(seed=0)
val_cfg = test_cfg = dict()
"""
MINE = """
from mmengine.config import read_base
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.optim import CosineAnnealingLR, OptimWrapper
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.models import (
    CrossEntropyLoss, ImageClassifier, VisionTransformer, VisionTransformerClsHead
)
from torch.optim import AdamW

from mmvitkd.engine import ExactResumeHook
from mmvitkd.models import LinearProjector, ViTKDDistiller, ViTKDMimicLoss
from tests.test_tools.kill_hook import KillHook

with read_base():
    from .base import *

model = dict(
    type=ViTKDDistiller,
    student=dict(
        type=ImageClassifier,
        backbone=dict(type=VisionTransformer, arch=ARCH, img_size=32, patch_size=8,
                      drop_path_rate=0.3),
        head=dict(type=VisionTransformerClsHead, num_classes=10, in_channels=16,
                  loss=dict(type=CrossEntropyLoss)),
    ),
    teacher=TEACHER,
    terms=dict(
        mimic0=dict(
            student='backbone.layers.0',
            teacher='backbone.layers.0',
            neck=dict(type=LinearProjector),
            loss=dict(type=ViTKDMimicLoss),
        )
    ),
)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
param_scheduler = [dict(type=CosineAnnealingLR, by_epoch=True)]
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=2)
default_hooks = dict(
    checkpoint=dict(type=CheckpointHook, interval=1),
    check=dict(allow_chance=True),
)
custom_hooks = [
    dict(type=EMAHook, momentum=0.1), dict(type=KillHook), dict(type=ExactResumeHook)
]
"""


@pytest.fixture(scope='module')
def cfg(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('new_style')
    teacher = vit(24)
    file = save_weights(teacher, folder / 'teacher.pth')
    text = MINE.replace('ARCH', repr(vit(16)['backbone']['arch']))
    text = text.replace('TEACHER', repr({'cfg': teacher, 'checkpoint': str(file)}))
    (folder / 'base.py').write_text(BASE)
    (folder / 'mine.py').write_text(text)
    return folder / 'mine.py'


def test_trains_resumes_and_tests(cfg, tmp_path, capsys):
    """Killed in the second epoch, and resumed to the same weights."""
    with pytest.raises(Interrupted):
        run('train', cfg, '--work-dir', tmp_path / 'a', RAISE_BEFORE_ITER='6')
    runner = run('train', cfg, '--work-dir', tmp_path / 'a', '--resume')
    out = capsys.readouterr().out
    assert f"resuming from '{tmp_path / 'a' / 'epoch_1.pth'}'\n" in out
    assert 'settings that changed' not in out
    names = [hook.__class__.__name__ for hook in runner.hooks]
    assert names.count('SafeCheckpointHook') == 1
    assert names.count('ExactResumeHook') == 1
    assert 'CheckpointHook' not in names
    run('train', cfg, '--work-dir', tmp_path / 'b')
    last = tmp_path / 'a' / 'epoch_2.pth'
    assert_same(weights(last), weights(tmp_path / 'b' / 'epoch_2.pth'))
    tested = run('test', cfg, last, '--work-dir', tmp_path / 'test')
    assert not tested.model.terms


def test_mixed_precision(cfg, tmp_path):
    one = ['--cfg-options', 'train_cfg.max_epochs=1']
    runner = run('train', cfg, '--work-dir', tmp_path, '--amp', *one)
    kind = Bfloat16OptimWrapper if get_device() == 'cpu' else AmpOptimWrapper
    assert type(runner.optim_wrapper) is kind
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}


def test_changes_are_told(cfg, tmp_path, capsys):
    one = ['--cfg-options', 'train_cfg.max_epochs=1']
    run('train', cfg, '--work-dir', tmp_path, *one)
    options = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.01']
    runner = run(
        'train', cfg, '--work-dir', tmp_path, '--resume', '--override-optim', *options
    )
    assert 'optim_wrapper.optimizer.lr: 0.001 -> 0.01' in capsys.readouterr().out
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == 0.01


def test_averaging_under_a_strategy_is_refused(cfg, tmp_path):
    options = ["strategy.type='SingleDeviceStrategy'", "runner_type='FlexibleRunner'"]
    text = message('train', cfg, '--work-dir', tmp_path, '--cfg-options', *options)
    assert 'EMAHook keeps a copy of a whole model' in text
