"""The quickstart's trainings: a teacher, and a student by every method."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

import mmvitkd
from mmvitkd.reporting.groups import TOP1
from mmvitkd.reporting.runs import Run as Logged
from mmvitkd.utils.own_configs import own_configs

from ..run import Run, Setting, cut
from ..worker import test_classifier

TEACHER, BASELINE = 'teacher', 'baseline'
CONFIGS = {
    TEACHER: 'digits_teacher.py',
    BASELINE: 'digits_student.py',
    'vitkd': 'vitkd_digits.py',
    'vitkd-nkd': 'vitkd-nkd_digits.py',
}
NAMES = {
    TEACHER: 'teacher',
    BASELINE: 'student, baseline',
    'vitkd': 'student, ViTKD',
    'vitkd-nkd': 'student, ViTKD + NKD',
}
STUDENTS = [name for name in CONFIGS if name != TEACHER]
# of a run, relative to the baseline; only for the time left
COSTS = {TEACHER: 3.0, BASELINE: 1.0, 'vitkd': 2.0, 'vitkd-nkd': 2.1}


def config_file(name: str) -> Path:
    """Return the file that a training's config is read from."""
    return own_configs() / 'digits' / CONFIGS[name]


def code_digest() -> str:
    """Digest the code that a training runs through."""
    digest = hashlib.sha256(f'{torch.__version__} {mmvitkd.__version__}'.encode())
    package = Path(mmvitkd.__file__).parent
    for folder in ('models', 'datasets'):
        for file in sorted((package / folder).rglob('*.py')):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def plan(root: Path, seeds: int, max_epochs: int | None, device: str) -> list[Run]:
    """List the trainings: the teacher, then seed by seed every student.

    Args:
        root: Folder of the runs.
        seeds: How many.
        max_epochs: What a training is cut to, if any.
        device: ``'cpu'`` or ``'cuda'``, which round differently.
    """
    made_by = f'{device} {code_digest()}'
    teacher = _setting(TEACHER, max_epochs, made_by)
    students = [
        _setting(name, max_epochs, made_by, teacher=teacher) for name in STUDENTS
    ]
    return [
        Run(teacher, 0, root),
        *(Run(student, seed, root) for seed in range(seeds) for student in students),
    ]


def _setting(
    name: str, max_epochs: int | None, made_by: str, **teachers: Setting
) -> Setting:
    cfg = cut(Config.fromfile(config_file(name)), max_epochs)
    if 'teacher' in cfg.model:
        cfg.model.teacher.checkpoint = ''  # a run names its own
        # a teacher that is cut to an epoch may be no better than chance
        cfg.default_hooks.update(check=None, monitor=None)
    else:
        teachers = {}
    return Setting(name, cfg, teachers, depends_on=made_by)


def test(run: Run, gpus: int) -> dict[str, Any]:
    """Test a trained run, once.

    Returns:
        ``curve``, the validation accuracies as ``(epoch, percent)``; ``val``, the last
        of them; ``test``, percent; ``seconds`` of training.
    """
    logged = Logged(run.folder, run.name)
    curve = logged.series(TOP1, 'val')
    return {
        'curve': curve,
        'val': curve[-1][1],
        'test': test_classifier(run, gpus)['top1'],
        'seconds': logged.seconds,
    }
