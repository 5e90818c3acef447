"""The trainings that are compared, and the students that they begin with."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvitkd.utils.own_configs import own_configs

from ..run import Run, Setting, cut
from ..worker import METRICS, measure, test_classifier

INITS = {
    'scratch': 'random weights',
    'plain': 'the student, baseline',
    'vitkd': 'the student by ViTKD',
}
BASELINE = 'plain'  # what the others are compared with


@dataclass(frozen=True)
class Task:
    """A kind of fine-tuning."""

    stem: str  # of its configs' names; that of the baseline has no more
    metrics: dict[str, tuple[str, float]]  # for people: in the log, and times what
    predictions: str  # where a run's are, in its folder
    data: str  # the part of the scenes that it reads

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


@dataclass(frozen=True)
class FineTuning(Run):
    """A training on the scenes, after that of the student it begins with, if any."""

    task: str
    init: str
    scenes: Path

    def config(self) -> Config:
        """Complete the config by seed, student and data; it validates at its end."""
        cfg = deepcopy(self.setting.cfg)
        cfg.merge_from_dict(
            {
                'randomness.seed': self.seed,
                'default_hooks.checkpoint.type': 'CheckpointHook',
                'default_hooks.checkpoint.max_keep_ckpts': 1,
            }
        )
        root = self.scenes / TASKS[self.task].data
        for name in ('train_dataloader', 'test_dataloader'):
            cfg[name].dataset.data_root = f'{root}/'
        if 'ann_file' in cfg.test_evaluator:
            file = root / 'annotations' / 'instances_val2017.json'
            cfg.test_evaluator.ann_file = str(file)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        for student in self.teachers.values():
            cfg.model.backbone.init_cfg.checkpoint = str(student.checkpoint)
        return cfg


def students(max_epochs: int | None) -> dict[str, dict[str, Setting]]:
    """Describe what makes the weights that the fine-tunings begin with."""

    def student(name: str, file: str, **teachers: Setting) -> Setting:
        cfg = Config.fromfile(own_configs() / 'digits' / file)
        return Setting(name, cut(cfg, max_epochs), teachers)

    teacher = student('digits teacher', 'digits_teacher.py')
    vitkd = student('digits ViTKD', 'vitkd_digits.py', teacher=teacher)
    plain = student('digits student', 'digits_student.py')
    return {'scratch': {}, 'plain': {'teacher': plain}, 'vitkd': {'teacher': vitkd}}


def plan(
    tasks: list[str], seeds: int, root: Path, scenes: Path, max_epochs: int | None
) -> list[FineTuning]:
    """List the fine-tunings, seed by seed; each seed has students of its own."""
    summary = json.loads((scenes / 'scenes.json').read_text())
    begun = students(max_epochs)
    settings = {}
    for task in tasks:
        for init in INITS:
            cfg = cut(Config.fromfile(TASKS[task].config(init)), max_epochs)
            # other scenes make another training, the same in another folder do not
            cfg.scenes = {key: summary[key] for key in ('seed', 'train', 'val')}
            name = f'{task} {init}'
            settings[task, init] = Setting(name, cfg, begun[init], own_teachers=True)
    return [
        FineTuning(setting, seed, root, task, init, scenes)
        for seed in range(seeds)
        for (task, init), setting in settings.items()
    ]


def test(run: Run, gpus: int) -> dict[str, Any]:
    """Test a finished run: a student on digits, a fine-tuned one on scenes."""
    if not isinstance(run, FineTuning):
        return test_classifier(run, gpus)
    task = TASKS[run.task]
    predictions = run.folder / task.predictions
    options = ('--metrics', run.folder / METRICS, '--out', predictions)
    measured = measure(run, gpus, *options)
    return {
        name: factor * measured[key] for name, (key, factor) in task.metrics.items()
    }
