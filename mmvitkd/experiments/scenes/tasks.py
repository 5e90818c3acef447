"""What is fine-tuned on the scenes, and what it begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmvitkd.utils.own_configs import own_configs

INITS = {
    'scratch': 'random weights',
    'plain': 'the student, baseline',
    'vitkd': 'the student by ViTKD',
}
BASELINE = 'plain'  # what the others are compared with


@dataclass(frozen=True)
class Task:
    """A kind of fine-tuning.

    Args:
        stem: Of its configs' names; that of the baseline has no more.
        metrics: Name for people to that in the log, and what makes it percent.
        predictions: Where a run's are, in its folder.
        data: The part of the scenes that it reads.
    """

    stem: str
    metrics: dict[str, tuple[str, float]]
    predictions: str
    data: str

    def config(self, init: str) -> Path:
        """Name the config that begins with these weights."""
        suffix = '' if init == BASELINE else f'-{init}'
        folder = own_configs() / 'downstream' / 'digit_scenes'
        return folder / f'{self.stem}{suffix}_digit-scenes.py'


TASKS = {
    'detection': Task(
        'mask-rcnn_vitdet-w32',
        {'box AP': ('coco/bbox_mAP', 100.0), 'mask AP': ('coco/segm_mAP', 100.0)},
        'predictions.pkl',
        'coco',
    ),
    'segmentation': Task('fcn_vit-w32', {'mIoU': ('mIoU', 1.0)}, 'maps', 'ade'),
}
