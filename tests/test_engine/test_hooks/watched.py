"""Small real distillations of digits, for the hooks that watch them."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmvitkd.utils.cli import build_runner, complete_dataloader
from tests.helpers import GEN, MIMIC, NKD, vit
from tests.test_tools.runs import PIPELINE, config, loader

MEAN, STD = 78.0, 96.0  # of the digits
TERMS = {
    'mimic0': {**MIMIC, 'loss': {'type': 'ViTKDMimicLoss', 'loss_weight': 1e-3}},
    'gen': {**GEN, 'loss': {'type': 'ViTKDGenLoss', 'loss_weight': 1e-4}},
    'nkd': NKD,
}


def runner_of(cfg: Path, work_dir: Path) -> Runner:
    """The runner of a config, without the hooks that ``tools/train.py`` adds."""
    loaded = Config.fromfile(cfg)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        complete_dataloader(loaded, name, False, False)
    loaded.merge_from_dict({'work_dir': str(work_dir), 'experiment_name': uuid4().hex})
    loaded.launcher = 'none'
    loaded.get('default_hooks', {}).pop('check', None)
    return build_runner(loaded)


def train(folder: Path, name: str, hooks: list, **changes: Any) -> Runner:
    """Train two epochs of four steps in which everything is random."""
    cfg = config(folder, name, custom_hooks=[], **changes)
    runner = runner_of(cfg, folder / name)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def teach(folder: Path) -> Path:
    """Train a teacher that knows its digits; return its weights."""
    cfg = config(
        folder,
        'teacher',
        **{
            'model': {'_delete_': True, **vit(24)},
            'train_dataloader': digits(700),
            'val_dataloader': None,
            'val_evaluator': None,
            'val_cfg': None,
            'optim_wrapper.optimizer.lr': 4e-3,
            'train_cfg.max_epochs': 20,
            'custom_hooks': [],
        },
    )
    runner = runner_of(cfg, folder / 'teacher')
    runner.train()
    torch.save({'state_dict': runner.model.state_dict()}, folder / 'knowing.pth')
    return folder / 'knowing.pth'


def digits(images: int) -> dict:
    """A training loader with so many images in batches of 50."""
    return {**loader('train', PIPELINE, images=images), 'batch_size': 50}


def taught(teacher: Path, terms: dict | None = None, **changes: Any) -> dict:
    """Changes of a config: a student of 100 digits under a teacher that knows them."""
    return {
        'model.terms': {'_delete_': True, **(terms or TERMS)},
        'model.teacher.checkpoint': str(teacher),
        'model.student.train_cfg': None,
        'train_dataloader': digits(100),
        'val_dataloader': None,
        'val_evaluator': None,
        'val_cfg': None,
        'train_cfg.max_epochs': 8,
        **changes,
    }


def said(work_dir: Path, level: str = 'WARNING') -> list[str]:
    """What a run has logged, but for MMEngine's own and continued lines."""
    (log,) = work_dir.rglob('*.log')
    lines = log.read_text().splitlines()
    marks = ('term ', 'teacher ', 'Distillation')
    texts = [line.partition(f' - {level} - ')[2] for line in lines]
    return [text for text in texts if text.startswith(marks)]


def scalars(work_dir: Path) -> list[dict[str, float]]:
    """What the monitor has handed to the visualizer, step by step."""
    (log,) = work_dir.rglob('vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if 'distill/loss/nkd' in line]
