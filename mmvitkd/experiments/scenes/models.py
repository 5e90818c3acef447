"""Detectors and segmentors that are distilled themselves, under a larger one."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmvitkd.utils.own_configs import own_configs

from ..run import Run, Setting, cut
from . import PROTOCOLS
from .trainings import BASELINE, TASKS, TEACHER, FineTuning, setting_of, students

DATASET = 'digits'  # of which there are configs
FOLDER = 'dense_digit_scenes'
TEACHERS = {'detection': 'mask-rcnn_vitdet-w128', 'segmentation': 'fcn_vit-w128'}
METHODS = {'detection': ('pkd', 'vitkd'), 'segmentation': ('cwd', 'vitkd')}


class Distilled(FineTuning):
    """A training on the scenes under a teacher that was trained on them.

    It begins with the student that the baseline begins with, of its own seed; all have
    one teacher, that of seed 0.
    """

    @property
    def teachers(self) -> dict[str, Run]:
        """Return the student's run, and its teacher's as ``'model'``."""
        found = super().teachers
        model = self.setting.teachers['model']
        return found | {'model': _teacher(model, self.task, self.root, self.scenes)}

    def begin_with_teachers(self, model: ConfigDict) -> None:
        """Name the checkpoints that student and teacher begin with."""
        begun = {name: str(run.checkpoint) for name, run in self.teachers.items()}
        model.student.backbone.init_cfg.checkpoint = begun['teacher']
        model.teacher.checkpoint = begun['model']


def plan_models(
    tasks: list[str], seeds: int, root: Path, scenes: Path, max_epochs: int | None
) -> list[FineTuning]:
    """List the trainings: the teachers, and seed by seed the students."""
    plain = students(DATASET, max_epochs)[BASELINE]
    file = own_configs() / 'digits' / 'digits_teacher.py'
    large = Setting('digits teacher', cut(Config.fromfile(file), max_epochs))

    def setting(name: str, path: Path, teachers: dict[str, Setting]) -> Setting:
        return setting_of(name, path, teachers, scenes, max_epochs)

    runs: list[FineTuning] = []
    settings: dict[tuple[str, str], Setting] = {}
    for task in tasks:
        name = f'{task} {TEACHER}'
        teacher = setting(name, _config(TEACHERS[task]), {'teacher': large})
        runs.append(_teacher(teacher, task, root, scenes))
        alone = TASKS[task].config(DATASET, BASELINE)
        settings[task, BASELINE] = setting(f'{task} {BASELINE}', alone, plain)
        for method in METHODS[task]:
            path = _config(f'{method}_{TASKS[task].stem}')
            both = {**plain, 'model': teacher}
            init = f'by-{method}'
            settings[task, init] = setting(f'{task} {init}', path, both)
    for seed in range(seeds):
        for (task, init), one in settings.items():
            kind = FineTuning if init == BASELINE else Distilled
            runs.append(kind(one, seed, root, task, init, scenes))
    return runs


def _teacher(setting: Setting, task: str, root: Path, scenes: Path) -> FineTuning:
    return FineTuning(setting, 0, root, task, TEACHER, scenes)


def _config(stem: str) -> Path:
    scenes = PROTOCOLS[DATASET].scenes
    return own_configs() / 'downstream' / FOLDER / f'{stem}_{scenes}.py'
