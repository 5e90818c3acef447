"""How two trainings differ, methods apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.config import Config

from mmvitkd.utils.config_text import flatten

# of a distiller, what makes the method
METHOD = ('type', 'student', 'teacher', 'teachers', 'terms', 'task_weight')
# what says nothing about a training's result, or is the comparison's to say
NO_DIFFERENCE = (
    'custom_imports', 'experiment_name', 'launcher', 'log_level', 'resume',
    'visualizer', 'work_dir',
)  # fmt: skip
LONGEST = 100  # characters of a value
MISSING = object()


def differences(cfg: Config, base: Config) -> dict[str, str]:
    """Return by dotted key what a training has, and what the baseline has.

    The seed is no difference, nor are those of :data:`NO_DIFFERENCE`.
    """
    ours, theirs = flatten(_compared(cfg)), flatten(_compared(base))
    return {
        key: f'{key} = {_text(ours, key)} (baseline: {_text(theirs, key)})'
        for key in sorted({*ours, *theirs})
        if ours.get(key, MISSING) != theirs.get(key, MISSING)
    }


def require_named(found: Iterable[str], named: Iterable[str]) -> None:
    """Refuse differences that are not named, and names that are no differences.

    Args:
        found: Dotted keys in which a training differs from that of the student alone.
        named: Such keys, or their beginnings.

    Raises:
        ValueError: If so.
    """
    secret = [key for key in found if not any(_is_of(key, name) for name in named)]
    if secret:
        raise ValueError(
            f'{secret} differ from the training of the student alone: name them in '
            'differs, with the reason, if the method needs that'
        )
    absent = [n for n in sorted(named) if not any(_is_of(key, n) for key in found)]
    if absent:
        raise ValueError(f'{absent} do not differ from the student alone')


def _is_of(key: str, name: str) -> bool:
    return key == name or key.startswith(f'{name}.')


def _compared(cfg: Config) -> dict[str, Any]:
    whole = {
        key: value
        for key, value in cfg.to_dict().items()
        if key not in NO_DIFFERENCE and value is not None
    }
    (whole.get('randomness') or {}).pop('seed', None)
    model = whole.pop('model')
    others = {}
    if 'student' in model:
        others = {key: value for key, value in model.items() if key not in METHOD}
    return {**whole, 'model': {**others, 'student': model.get('student', model)}}


def _text(values: dict[str, Any], key: str) -> str:
    if key not in values:
        return 'not set'
    text = repr(values[key])
    return text if len(text) <= LONGEST else f'{text[:LONGEST]}...'
