import difflib
from typing import Any, NamedTuple

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from .tap import Grid, Tap, Tapped

TERM_KEYS = ('student', 'teacher', 'neck', 'loss')


class TermSpec(NamedTuple):
    """A term of a config, read but not yet built."""

    name: str
    student: Tap
    teacher_name: str
    teacher: Tap
    neck: dict | None
    loss: dict


def parse_term(name: str, cfg: Any, teachers: tuple[str, ...]) -> TermSpec:
    """Read ``dict(student=tap, teacher=tap, neck=None, loss=...)``.

    Args:
        name: The term's name; the log shows ``loss_<name>``.
        cfg: The term's config.
        teachers: Names of the teachers. A tap of one of several begins with its
            name: ``'conv:head'``.

    Raises:
        ValueError: If a key is unknown or missing, or the teacher is.
    """
    if not isinstance(cfg, dict):
        raise ValueError(f"term '{name}' must be a dict, got {cfg!r}")
    unknown = sorted(set(cfg) - set(TERM_KEYS))
    missing = [key for key in TERM_KEYS if key != 'neck' and key not in cfg]
    if unknown or missing:
        raise ValueError(
            f"term '{name}' has the keys {TERM_KEYS}, of which only 'neck' may be left "
            f'out; unknown: {unknown}, missing: {missing}'
        )
    spec = cfg['teacher']
    spec = {'path': spec} if isinstance(spec, str) else dict(spec)
    teacher, colon, path = str(spec.get('path', '')).rpartition(':')
    spec['path'] = path
    if not colon and len(teachers) == 1:
        teacher = teachers[0]
    if teacher not in teachers:
        raise ValueError(
            f"term '{name}': teacher='{cfg['teacher']}' names none of the teachers "
            f"{list(teachers)}; write 'name:path'"
        )
    try:
        taps = Tap.parse(cfg['student']), Tap.parse(spec)
    except ValueError as error:
        raise ValueError(f"term '{name}': {error}") from error
    return TermSpec(name, taps[0], teacher, taps[1], cfg.get('neck'), cfg['loss'])


class DistillTerm(BaseModule):
    """One summand of the objective: two taps, an optional neck, a loss.

    Args:
        spec: The term as the config says it.
        student: What the student's tap yields, for its width.
        teacher: What the teacher's tap yields, for its width.

    Attributes:
        neck: The module between the student's tap and the loss, or None.
        loss: ``loss(student, teacher, target=None, mask=None) -> scalar``.
    """

    def __init__(self, spec: TermSpec, student: Tapped, teacher: Tapped) -> None:
        super().__init__()
        self.neck: nn.Module | None = None
        if spec.neck is not None:
            widths = {
                'in_channels': student.value.shape[-1],
                'out_channels': teacher.value.shape[-1],
            }
            for key, seen in widths.items():
                if spec.neck.get(key, seen) != seen:
                    raise ValueError(
                        f"{key}={spec.neck[key]} but the models' width is {seen}: "
                        'leave it out, it is inferred'
                    )
            self.neck = _build({**widths, **spec.neck})
        self.loss: nn.Module = _build(spec.loss)

    def forward(
        self, student: Tapped, teacher: Tapped, target: Tensor | None
    ) -> Tensor:
        """Return the term's scalar loss.

        Args:
            student: Of the student's tap.
            teacher: Of the teacher's tap; resampled to the student's grid.
            target: Labels ``(B,)`` or ``(B, K)``, if the samples have them.
        """
        x, hw = student
        y = resample(teacher, hw)
        mask = None
        if self.neck is not None:
            out = self.neck(x, hw)
            x, mask = out if isinstance(out, tuple) else (out, None)
        return self.loss(x, y, target=target, mask=mask)


def _build(cfg: dict) -> nn.Module:
    """Build a neck or a loss.

    Raises:
        ValueError: If no class of that name is registered.
    """
    name = cfg.get('type')
    if isinstance(name, str) and MODELS.get(name) is None:
        near = difflib.get_close_matches(name, MODELS.module_dict, n=3)
        raise ValueError(
            f"no class '{name}' is registered; did you mean {near}? One of your own "
            "needs its import in the package's __init__.py, or the config's "
            'custom_imports'
        )
    return MODELS.build(cfg)


def resample(teacher: Tapped, hw: Grid | None) -> Tensor:
    """Bring the teacher's patch tokens to the grid ``hw``, bilinearly.

    Returns:
        ``(B, H * W, C)``, or the value as it is when a side has no grid.
    """
    y, hw_t = teacher
    if hw is None or hw_t is None or hw == hw_t:
        return y
    y = y.transpose(1, 2).unflatten(2, hw_t).float()  # (B, C, H_t, W_t)
    y = F.interpolate(y, hw, mode='bilinear', antialias=True)
    return y.flatten(2).transpose(1, 2).to(teacher.value.dtype)  # (B, N, C)
