"""Which of a part's settings look wrong, where an error names none of them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

PLAIN = (bool, int, float, str)
HUGE = 1e9
# of annotations that are text, as from __future__ import annotations leaves them
NAMES = {kind.__name__: kind for kind in (*PLAIN, dict, list, tuple)}


class Suspect(NamedTuple):
    """A setting that looks wrong: its key below the part's, and what is taken there."""

    key: str
    value: Any
    taken: str


def find_suspects(cls: Any, cfg: dict[str, Any]) -> list[Suspect]:
    """List settings of another type than the constructor's, or else odd numbers.

    Args:
        cls: The class that was made.
        cfg: Its dict in the config.
    """
    parameters = _parameters(cls)
    wrong, odd = [], []
    for key, value, example in _settings(cfg, _examples(cls)):
        parameter = parameters.get(key)
        if parameter is not None and value == parameter.default:
            continue
        kind = type(example) if example is not None else _kind(parameter)
        if kind is not None and not _fits(value, kind, parameter):
            wrong.append(Suspect(key, value, _taken(kind, parameter)))
        elif value is not None and is_odd(value):
            taken = _taken(kind, parameter) if kind is not None else ''
            odd.append(Suspect(key, value, taken))
    return wrong or odd


def find_mistyped(cls: Any, cfg: dict[str, Any]) -> Suspect | None:
    """Find text, or an empty list, where a number or a truth value is to be.

    Text is true, whatever it says: ``shuffle='False'`` shuffles.
    """
    for key, parameter in _parameters(cls).items():
        kind = _annotated(parameter)
        value = cfg.get(key)
        empty = isinstance(value, (list, tuple, dict)) and not value
        wrong = isinstance(value, str) or (kind is bool and isinstance(value, float))
        if kind in (bool, int, float) and (wrong or empty):
            return Suspect(key, value, _taken(kind, parameter))
    return None


def _settings(
    cfg: dict[str, Any], examples: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    for key, value in cfg.items():
        if key in ('type', '_scope_'):
            continue
        yield str(key), value, None
        if key == 'arch' and isinstance(value, dict):
            for name, held in value.items():
                yield f'{key}.{name}', held, examples.get(name)


def _examples(cls: Any) -> dict[str, Any]:
    """Return an architecture that a backbone's class knows by name."""
    zoo = getattr(cls, 'arch_zoo', None)
    known = [arch for arch in (zoo or {}).values() if isinstance(arch, dict)]
    return known[0] if known else {}


@cache
def _parameters(cls: Any) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for made in cls.__mro__ if isinstance(cls, type) else [cls]:
        function = vars(made).get('__init__') if isinstance(made, type) else made
        try:
            own = inspect.signature(function).parameters  # type: ignore[arg-type]
        except (TypeError, ValueError):  # of none, or one that is written in C
            continue
        found = {**own, **found}
    return found


def _kind(parameter: inspect.Parameter | None) -> type | None:
    """Return the type of a parameter's default, or the one that it is annotated by."""
    if parameter is None:
        return None
    default = parameter.default
    several = len({*_alternatives(parameter)} & {*PLAIN}) > 1
    if isinstance(default, PLAIN) and not several:
        return type(default)
    return _annotated(parameter)


def _alternatives(parameter: inspect.Parameter) -> list[Any]:
    """List the types that an annotation allows."""
    annotation = parameter.annotation
    either = get_origin(annotation) in (Union, UnionType)
    return list(get_args(annotation)) if either else [annotation]


def _annotated(parameter: inspect.Parameter) -> type | None:
    """Return the one simple type, besides None, that an annotation has."""
    annotation, kinds = parameter.annotation, _alternatives(parameter)
    if isinstance(annotation, str):
        optional = annotation.removeprefix('Optional[').removesuffix(']')
        kinds = [NAMES.get(part) for part in optional.split(' | ') if part != 'None']
    found = [kind for kind in kinds if kind is not type(None)]
    return found[0] if len(found) == 1 and found[0] in NAMES.values() else None


def _fits(value: Any, kind: type, parameter: inspect.Parameter | None) -> bool:
    if parameter is not None and _may_be_none(value, parameter):
        return True
    if kind is float:
        whole = isinstance(value, (int, float)) and not isinstance(value, bool)
        return whole and math.isfinite(value)
    if kind is int:  # or one for each side
        both = isinstance(value, Sequence) and not isinstance(value, str) and value
        return (isinstance(value, int) and not isinstance(value, bool)) or bool(both)
    if kind is bool:
        return isinstance(value, (bool, dict))
    if kind in (list, tuple):
        return isinstance(value, (list, tuple))
    if kind is str:
        return isinstance(value, (str, dict, list, tuple))
    return isinstance(value, kind)


def _may_be_none(value: Any, parameter: inspect.Parameter) -> bool:
    optional = parameter.default is None or re.search('Optional|None', str(parameter))
    return value is None and bool(optional)


def _taken(kind: type, parameter: inspect.Parameter | None) -> str:
    default = getattr(parameter, 'default', inspect.Parameter.empty)
    by = '' if default in (inspect.Parameter.empty, None) else f', by default {default}'
    return f'{kind.__name__}{by}'


def is_odd(value: Any) -> bool:
    """Whether a setting is empty, or a number that few are: 0, below it, or huge."""
    if value is None or isinstance(value, bool):
        return value is None
    if isinstance(value, (int, float)):
        return not math.isfinite(value) or abs(value) > HUGE or value <= 0
    if isinstance(value, (list, tuple)) and value:
        return any(isinstance(v, (int, float)) and not 0 <= v < HUGE for v in value)
    return isinstance(value, (str, list, tuple, dict)) and not value
