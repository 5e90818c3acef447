"""What the quickstart ends with: the exported student, one table, one figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from time import perf_counter
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from .figure import COLUMNS, draw
from .runs import ARMS, TEACHER

NAMES = {
    'teacher': 'teacher',
    'alone': 'student alone',
    'vitkd': 'student, ViTKD',
    'vitkd-nkd': 'student, ViTKD + NKD',
}
IMAGE_SIZE = (3, 32, 32)
BATCH = 100


@dataclass(frozen=True)
class Finished:
    """One finished training."""

    arm: str
    seed: int
    checkpoint: Path
    result: dict[str, Any]


def plain_config(path: Path) -> Config:
    """Make an MMPretrain config of a classifier, without anything of ours.

    Args:
        path: The config that it was trained by.
    """
    cfg = Config.fromfile(path)
    pipeline = [dict(type='LoadImageFromFile'), *cfg.test_pipeline]
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(cfg.model, data_preprocessor=cfg.data_preprocessor),
            test_dataloader=dict(dataset=dict(type='CustomDataset', pipeline=pipeline)),
        )
    )


class Classifier:
    """A checkpoint in MMPretrain's own inferencer.

    Args:
        config: A plain MMPretrain config.
        checkpoint: A plain MMPretrain checkpoint.
        device: ``'cpu'`` or ``'cuda'``.
    """

    def __init__(self, config: Path, checkpoint: Path, device: str) -> None:
        from mmpretrain import ImageClassificationInferencer

        self.inferencer = ImageClassificationInferencer(
            str(config), pretrained=str(checkpoint), device=device
        )

    @property
    def model(self) -> nn.Module:
        return self.inferencer.model

    def answer(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Classify images in memory, ``(H, W, 3)`` each; return ``(N, )`` labels."""
        found = self.inferencer(list(images), batch_size=BATCH)
        return np.array([one['pred_label'] for one in found])

    def answer_file(self, path: Path) -> tuple[str, float]:
        """Classify an image file; return the class's name and its score."""
        found = self.inferencer(str(path))[0]
        return found['pred_class'], found['pred_score']
