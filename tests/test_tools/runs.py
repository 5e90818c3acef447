"""Small real runs on scikit-learn's digits, by the tools that users start."""

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config

from tests.helpers import distiller

ROOT = Path(__file__).parents[2]


def config(folder: Path, name: str = 'tiny', **changes: Any) -> Path:
    """Write a whole config of a run: 2 epochs of 4 steps, everything random in it.

    Drop path, Mixup, crops and random masks, so that a resumed run is only the same
    if every random generator is.
    """
    pipeline = [{'type': 'Resize', 'scale': 32}, {'type': 'PackInputs'}]
    crop = {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4}
    cfg = Config(
        {
            'default_scope': 'mmvitkd',
            'model': distiller(folder),
            'data_preprocessor': {'num_classes': 10, 'mean': [78.0] * 3, 'std': [96.0] * 3},
            'train_dataloader': loader('train', [pipeline[0], crop, pipeline[1]]),
            'val_dataloader': loader('val', pipeline),
            'test_dataloader': loader('test', pipeline),
            'val_evaluator': {'type': 'Accuracy', 'topk': 1},
            'test_evaluator': {'type': 'Accuracy', 'topk': 1},
            'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 1e-3}},
            'param_scheduler': [{'type': 'CosineAnnealingLR', 'by_epoch': True}],
            'train_cfg': {'by_epoch': True, 'max_epochs': 2},
            'val_cfg': {},
            'test_cfg': {},
            'randomness': {'seed': 0},
            'auto_scale_lr': {'base_batch_size': 64},
        }
    )
    cfg.model.student.backbone.drop_path_rate = 0.3
    cfg.model.student.train_cfg = {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    cfg.merge_from_dict(changes)
    path = folder / f'{name}.py'
    cfg.dump(path)
    return path


def loader(split: str, pipeline: list[dict], images: int = 64) -> dict:
    """Config of a data loader with a few images of the digits."""
    return {
        'batch_size': 16,
        'num_workers': 0,
        'dataset': {
            'type': 'Digits',
            'split': split,
            'indices': images,
            'pipeline': pipeline,
        },
        'sampler': {'type': 'DefaultSampler', 'shuffle': split == 'train'},
    }


@contextmanager
def arguments(*args: Any) -> Iterator[None]:
    with mock.patch.object(sys, 'argv', [str(arg) for arg in args]):
        yield


def run(tool: str, *args: Any) -> dict[str, Any]:
    """Run a tool in this process; its globals come back."""
    path = ROOT / 'tools' / f'{tool}.py'
    with arguments(path, *args), mock.patch.dict(os.environ):
        return runpy.run_path(str(path), run_name='__main__')


def start(*command: Any, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    """Run a command from the checkout in processes of its own."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=check,
    )


def weights(path: Path, key: str = 'state_dict') -> dict[str, torch.Tensor]:
    """The weights of a checkpoint."""
    return torch.load(path, weights_only=False)[key]
