"""Runs of two processes, and of one that they must equal."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from tests.shrink import CONFIGS, shrink
from tests.test_tools.runs import PLAIN, config, run, weights

# as in DeiT's schedule: flat tensors are biases, and gradients are clipped; one
# setting is told by a name that sharding must not change
TRAINING = {
    **PLAIN,
    'optim_wrapper': {
        # eps: without it, the steps hardly depend on how gradients are clipped
        'optimizer': {'type': 'AdamW', 'lr': 0.03, 'weight_decay': 0.5, 'eps': 1e-3},
        'paramwise_cfg': {
            'flat_decay_mult': 0.0,
            'custom_keys': {'layers.0.ffn': {'decay_mult': 3.0}},
        },
        'clip_grad': {'max_norm': 0.1},
    },
    'param_scheduler': [{'type': 'CosineAnnealingLR', 'by_epoch': True}],
    'train_cfg.max_epochs': 3,
    'custom_hooks': [],
}


def sharded(folder: Path, name: str, strategy: dict, **changes: Any) -> Path:
    """Config of a run by two processes, each with half of a batch."""
    return config(
        folder,
        name,
        **{
            **TRAINING,
            'runner_type': 'FlexibleRunner',
            'strategy': strategy,
            'train_dataloader.batch_size': 8,
            **changes,
        },
    )


def stacked(name: str, fragment: str, folder: Path) -> Path:
    """Lay a strategy's fragment beside a config of the tree, and shrink that."""
    bases = [CONFIGS / name, CONFIGS / '_base_' / 'strategies' / f'{fragment}.py']
    file = folder / 'stacked.py'
    file.write_text(f'_base_ = {[str(base) for base in bases]}\n')
    shrink(Config.fromfile(file), folder).dump(file)
    return file


def assert_trained_like_one_process(folder: Path, found: dict, **changes: Any) -> None:
    """Compare weights with those of a plain run on the joint batches."""
    one = config(folder, 'one', **{**TRAINING, **changes})
    run('train', one, '--work-dir', folder / 'one')
    assert_close(found, weights(folder / 'one' / 'epoch_3.pth'))


def assert_close(found: dict, expected: dict) -> None:
    """The same weights but for the order of sums."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5)
