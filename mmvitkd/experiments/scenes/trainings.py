"""The trainings that are compared, and the students that they begin with."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmvitkd.utils.own_configs import own_configs

from ..run import Run, Setting, cut
from ..worker import METRICS, measure, test_classifier
from . import PROTOCOLS
from .draw import read_summary

INITS = {
    'scratch': 'random weights',
    'plain': 'the student, baseline',
    'vitkd': 'the student by ViTKD',
}
BASELINE = 'plain'  # what the others are compared with
TEACHER = 'teacher'
# of models that are distilled themselves, the baseline among them
MODELS = {
    TEACHER: 'the teacher',
    'by-pkd': 'the student, distilled by PKD',
    'by-cwd': 'the student, distilled by CWD',
    'by-vitkd': 'the student, distilled by ViTKD',
}
LABELS = {**INITS, **MODELS}
# the fine-tunings of the student of seed 3 have the seeds 3, 1003, 2003, ...: none is
# shared by two students, so the means of students are independent
STRIDE = 1000


@dataclass(frozen=True)
class Task:
    """A kind of fine-tuning."""

    stem: str  # of its configs' names; that of the baseline has no more
    metrics: dict[str, tuple[str, float]]  # for people: in the log, and times what
    predictions: str  # where a run's are, in its folder
    data: str  # the part of the scenes that it reads

    def config(self, dataset: str, init: str) -> Path:
        """Name the config that begins with these weights."""
        suffix = '' if init == BASELINE else f'-{init}'
        scenes = PROTOCOLS[dataset].scenes
        folder = own_configs() / 'downstream' / _underscored(scenes)
        return folder / f'{self.stem}{suffix}_{scenes}.py'


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

    @property
    def student_seed(self) -> int:
        """The seed of the student that it begins with."""
        return self.seed % STRIDE

    @property
    def name(self) -> str:
        """Name it for people."""
        name = f'{self.setting.name}, seed {self.student_seed}'
        again = self.seed // STRIDE
        return f'{name}, fine-tuning {again}' if again else name

    @property
    def teachers(self) -> dict[str, Run]:
        """Return the student's run, if it begins with one."""
        named = self.setting.teachers.items()
        return {name: Run(one, self.student_seed, self.root) for name, one in named}

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
        self.begin_with_teachers(cfg.model)
        return cfg

    def begin_with_teachers(self, model: ConfigDict) -> None:
        """Name the checkpoints that a model begins with."""
        for student in self.teachers.values():
            model.backbone.init_cfg.checkpoint = str(student.checkpoint)


def students(dataset: str, max_epochs: int | None) -> dict[str, dict[str, Setting]]:
    """Describe what makes the weights that the fine-tunings begin with."""

    def student(name: str, file: str, **teachers: Setting) -> Setting:
        path = own_configs() / _underscored(dataset) / f'{file}.py'
        cfg = cut(Config.fromfile(path), max_epochs)
        return Setting(f'{dataset} {name}', cfg, teachers)

    teacher = student('teacher', f'{dataset}_teacher')
    vitkd = student('ViTKD', PROTOCOLS[dataset].vitkd, teacher=teacher)
    plain = student('student', f'{dataset}_student')
    return {'scratch': {}, 'plain': {'teacher': plain}, 'vitkd': {'teacher': vitkd}}


def _underscored(name: str) -> str:
    return name.replace('-', '_')  # as folders of configs are named


def plan(
    tasks: list[str],
    seeds: int,
    fine_tunings: int,
    root: Path,
    scenes: Path,
    max_epochs: int | None,
    inits: Iterable[str] = INITS,
) -> list[FineTuning]:
    """List the fine-tunings, seed by seed; each seed has students of its own."""
    dataset = read_summary(scenes)['dataset']
    begun = students(dataset, max_epochs)
    settings = {
        (task, init): setting_of(
            f'{task} {init}',
            TASKS[task].config(dataset, init),
            begun[init],
            scenes,
            max_epochs,
        )
        for task in tasks
        for init in inits
    }
    return [
        FineTuning(setting, seed + again * STRIDE, root, task, init, scenes)
        for seed in range(seeds)
        for again in range(fine_tunings)
        for (task, init), setting in settings.items()
    ]


def setting_of(
    name: str,
    path: Path,
    teachers: dict[str, Setting],
    scenes: Path,
    max_epochs: int | None,
) -> Setting:
    """Describe a training on some scenes."""
    summary = read_summary(scenes)
    cfg = cut(Config.fromfile(path), max_epochs)
    # other scenes make another training, the same in another folder do not
    cfg.scenes = {key: summary[key] for key in ('seed', 'train', 'val')}
    if summary['tuning']:
        cfg.scenes['tuning'] = True
    return Setting(name, cfg, teachers, own_teachers=True)


def test(run: Run, gpus: int) -> dict[str, Any]:
    """Test a finished run: a student on images, a fine-tuned one on scenes.

    Predictions are kept of the first seed, whose pictures are drawn.
    """
    if not isinstance(run, FineTuning):
        return test_classifier(run, gpus)
    task = TASKS[run.task]
    options: list[str | Path] = ['--metrics', run.folder / METRICS]
    if run.seed == 0:
        options += ['--out', run.folder / task.predictions]
    measured = measure(run, gpus, *options)
    return {
        name: factor * measured[key] for name, (key, factor) in task.metrics.items()
    }
