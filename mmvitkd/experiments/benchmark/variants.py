"""The variants of a config that are timed side by side."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmvitkd.engine import DistillationMonitorHook
from mmvitkd.utils.types import name_of

from . import released  # noqa: F401  registers the reference
from .stored import hold, store

RELEASED = {
    'ViTKDMimicLoss': 'ReleasedMimicLoss',
    'ConvGenerativeProjector': 'ReleasedGenerator',
    'ViTKDGenLoss': 'ReleasedGenLoss',
}
LOGITS = {
    'kd': {'type': 'mmvitkd.KDLoss', 'temperature': 1.0},
    'nkd': {'type': 'mmvitkd.NKDLoss', 'temperature': 1.0, 'gamma': 1.0},
}


@dataclass(frozen=True)
class Variant:
    """One of what is timed."""

    name: str  # as on the command line and in the tables
    what: str  # in a few words
    change: Callable[[Config], bool]  # of a config's copy; False: it does not apply
    trains: bool = True  # a training step
    # changes the loop that was built, given a folder of its own
    finish: Callable[[Any, Path], None] | None = None
    when: str | None = None  # 'cpu' or 'cuda', where it is timed unless named

    def config(self, cfg: Config) -> Config | None:
        """Return the changed copy of a distiller's config, or None."""
        cfg = deepcopy(cfg)
        return cfg if self.change(cfg) else None


def check(cfg: Config, path: str) -> None:
    """Refuse a config that is none of a distiller with one teacher or several.

    Raises:
        ValueError: If so.
    """
    model = cfg.get('model') or {}
    if 'student' not in model or not model.get('terms'):
        raise ValueError(
            f"'{path}' is no distiller's config: model must have a student, a teacher "
            'and terms'
        )


def _as_it_is(_: Config) -> bool:
    return True


def _student(cfg: Config) -> bool:
    cfg.model.update(terms=None, teacher=None, teachers=None, task_weight=1.0)
    return True


def _released(cfg: Config) -> bool:
    """Put the reference in the place of ViTKD's losses and conv projector."""
    changed = False
    for term in cfg.model.terms.values():
        for part in (term.get('neck'), term.loss):
            kind = RELEASED.get(name_of(part.type)) if part else None
            if kind:
                part.type = f'mmvitkd.{kind}'
                changed = True
    return changed


def _sparse(on: bool) -> Callable[[Config], bool]:
    def change(cfg: Config) -> bool:
        necks = [term.get('neck') for term in cfg.model.terms.values()]
        convs = [
            neck
            for neck in necks
            if neck and name_of(neck.type) == 'ConvGenerativeProjector'
        ]
        for neck in convs:
            neck.sparse = on
        return bool(convs)

    return change


def _teacher(**options: object) -> Callable[[Config], bool]:
    def change(cfg: Config) -> bool:
        for teacher in _teachers(cfg):
            teacher.update(options)
        return _kinds(cfg) == {'Teacher'}

    return change


def _teachers(cfg: Config) -> list[ConfigDict]:
    return list((cfg.model.get('teachers') or {}).values()) or [cfg.model.teacher]


def _kinds(cfg: Config) -> set[str]:
    return {name_of(teacher.get('type', 'Teacher')) for teacher in _teachers(cfg)}


def _whole_images(cfg: Config) -> bool:
    """Take the teachers that have a model, which is run without a student."""
    return _kinds(cfg) <= {'Teacher', 'MaskedTeacher'}


def _fused(cfg: Config) -> bool:
    """Turn torch's fused optimiser on, or off where it is on."""
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.fused = not optimizer.get('fused', False)
    return name_of(optimizer.type) in ('Adam', 'AdamW', 'SGD')


def _one_by_one(cfg: Config) -> bool:
    """Leave every parameter in the group of its own that MMEngine gives it."""
    cfg.optim_wrapper.setdefault('constructor', 'DefaultOptimWrapperConstructor')
    return bool(cfg.optim_wrapper.get('paramwise_cfg'))


def _checkpointing(cfg: Config) -> bool:
    hook = ConfigDict(type='mmvitkd.ActivationCheckpointingHook')
    if 'Swin' in str(cfg.model.student.get('backbone')):
        hook.modules = [f'student.backbone.stages.{i}.blocks' for i in range(4)]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]
    return True


def _compile(cfg: Config) -> bool:
    cfg.compile = True
    return True


def _logits(name: str) -> Callable[[Config], bool]:
    def change(cfg: Config) -> bool:
        if cfg.model.get('teachers'):
            return False
        term = ConfigDict(student='head', teacher='head', loss=ConfigDict(LOGITS[name]))
        cfg.model.terms = ConfigDict({name: term})
        return True

    return change


def _masked(cfg: Config) -> bool:
    """Distil the logits of a teacher that sees half of the patches."""
    if not _logits('nkd')(cfg) or 'SwinTransformer' in str(cfg.model.student):
        return False
    applies = _teacher()(cfg)
    cfg.model.teacher.type = 'mmvitkd.MaskedTeacher'
    return applies


def _monitor(loop: Any, folder: Path) -> None:
    """Look at every step, of which ``DistillationMonitorHook`` looks at a hundredth."""
    hook = DistillationMonitorHook(interval=1)
    runner, train = loop.runner, loop.step
    runner._train_loop = None  # else counting its steps would build the data set
    hook.before_train(runner)

    def step() -> None:
        hook.before_train_iter(runner, 0)
        train()
        hook.after_train_iter(runner, 0)

    loop.step = step


VARIANTS = [
    Variant('student', 'a step of the student alone', _student),
    Variant('teacher', "the teacher's forward alone", _whole_images, trains=False),
    Variant('released', "ViTKD's released formulation", _released),
    Variant('config', 'the config as it is', _as_it_is),
    Variant('dense', 'both convolutions on every token', _sparse(False), when='cpu'),
    Variant('sparse', 'convolutions where it matters', _sparse(True), when='cuda'),
    Variant('whole-teacher', 'the teacher to its end', _teacher(stop_early=False)),
    Variant('teacher-bf16', 'a teacher in bfloat16', _teacher(dtype='bfloat16')),
    Variant(
        'teacher-compile',
        "the teacher's blocks compiled",
        _teacher(compile=True),
        when='cuda',
    ),
    Variant('fused', 'the fused optimiser, or not where it is', _fused),
    Variant('one-by-one', 'an optimiser group for every parameter', _one_by_one),
    Variant('checkpointing', "the student's blocks computed twice", _checkpointing),
    Variant('compile', 'the whole step compiled', _compile, when='cuda'),
    Variant('monitor', 'a step that is monitored', _as_it_is, finish=_monitor),
    Variant('kd', 'KD on the logits instead', _logits('kd')),
    Variant('nkd', 'NKD on the logits instead', _logits('nkd')),
    Variant('masked-nkd', 'NKD, the teacher sees half of the patches', _masked),
    Variant('terms', 'no teacher, its outputs given', _teacher(), finish=hold),
    Variant('cached', 'stored outputs of the teacher', _teacher(), finish=store),
    Variant('cached-nkd', 'NKD on stored logits', _logits('nkd'), finish=store),
]


def choose(only: list[str] | None, device: str) -> list[Variant]:
    """Return the variants that are named, or those of the device.

    Raises:
        ValueError: If a name is unknown.
    """
    names = [variant.name for variant in VARIANTS]
    unknown = [name for name in only or [] if name not in names]
    if unknown:
        raise ValueError(f'--only {unknown[0]}: there are {names}')
    if only:
        return [variant for variant in VARIANTS if variant.name in only]
    return [variant for variant in VARIANTS if variant.when in (None, device)]
