"""What is searched: settings of a config, each with its range."""

from __future__ import annotations

import inspect
import itertools
import math
import re
import shlex
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mmvitkd import registry
from mmvitkd.utils.config_check import all_arguments
from mmvitkd.utils.config_file import read_option
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.spelling import suggest
from mmvitkd.utils.types import class_of

from .source import RANGES

RANGE = re.compile(r'\s*(\w+)\s*\((.*)\)\s*', re.DOTALL)

Space = dict[str, BaseDistribution]  # by the dotted names of settings
Point = dict[str, Any]  # a value of each, as Optuna keeps them


def read_space(pairs: Mapping[str, str], cfg: Config) -> Space:
    """Read ranges.

    Args:
        pairs: Texts such as ``'log(1e-6,1e-3)'`` by dotted names, which may do without
            ``model.``.
        cfg: The config that they are settings of.

    Raises:
        ConfigError: If a setting or a range can't be.
    """
    space: Space = {}
    for name, text in pairs.items():
        key = _find(cfg, name)
        if key in space:
            raise ConfigError(f"--search names '{key}' twice")
        space[key] = read_range(name, text)
    return space


def read_range(key: str, text: str) -> BaseDistribution:
    """Read a range.

    Raises:
        ConfigError: If it is none.
    """
    match = RANGE.fullmatch(text)
    kind = match[1] if match else ''
    try:
        values = read_option(f'{key}=[{match[2]}]')[1] if match else []
    except ConfigError:
        values = []
    if kind == 'choice' and len(values) > 1:
        return _choices(key, text, values)
    whole = kind == 'int'
    kinds = (int,) if whole else (int, float)  # a truth value is an int as well
    numbers = [v for v in values if type(v) in kinds and math.isfinite(v)]
    most = {'log': 2, 'float': 3, 'int': 3}.get(kind, 0)
    if len(numbers) != len(values) or not 2 <= len(numbers) <= most:
        raise ConfigError(f'--search {key}={text}: a range is {RANGES}')
    low, high, *step = numbers
    if not low < high or (kind == 'log' and low <= 0):
        least = ' and above 0' if kind == 'log' else ''
        raise ConfigError(f'--search {key}={text}: LOW must be below HIGH{least}')
    steps = (high - low) / step[0] if step and step[0] else len(step) - 1
    if step and (steps < 1 or abs(steps - round(steps)) > 1e-6):
        raise ConfigError(f'--search {key}={text}: STEPs must lead from LOW to HIGH')
    if whole:
        return IntDistribution(int(low), int(high), step=int(step[0]) if step else 1)
    if kind == 'log':
        return FloatDistribution(low, high, log=True)
    return FloatDistribution(low, high, step=step[0] if step else None)


def _choices(key: str, text: str, values: list[Any]) -> CategoricalDistribution:
    if any(one in values[:i] for i, one in enumerate(values)):
        raise ConfigError(f'--search {key}={text}: two choices are equal')
    # a study keeps no lists: their texts, which decode() reads
    kept = [_text(v) if isinstance(v, (list, tuple)) else v for v in values]
    return CategoricalDistribution(kept)


def _find(cfg: Config, name: str) -> str:
    """Return a setting's dotted name, if there is such a setting.

    Raises:
        ConfigError: If there is none.
    """
    top = name.split('.')[0]
    if top not in cfg and isinstance(cfg.get('model'), dict) and top in cfg.model:
        name = f'model.{name}'
    *above, last = name.split('.')
    held: Any = cfg
    for number, key in enumerate([*above, last]):
        place = '.'.join(above[:number]) or 'the config'
        if isinstance(held, list):
            if not key.isdigit() or int(key) >= len(held):
                raise ConfigError(
                    f'--search {name}: {place} is a list of {len(held)}, whose items '
                    f"are numbered from 0: there is no '{key}'"
                )
            held = held[int(key)]
        elif not isinstance(held, (dict, Config)):
            raise ConfigError(f'--search {name}: {place} is {held!r}, without settings')
        elif key in held:
            held = held[key]
        elif number < len(above) or not _may_have(held, key):
            kind = _class(held)
            known = {*map(str, held), *(all_arguments(kind) if kind else ())}
            hint = suggest(key, sorted(known))
            raise ConfigError(f"--search {name}: {place} has no '{key}'{hint}")
    return name


def _may_have(held: Any, key: str) -> bool:
    """Whether a dict takes a key that it has not: its class does, or may."""
    if isinstance(held, Config):
        return False
    kind = _class(held)
    if key in (all_arguments(kind) if kind else ()):
        return True
    given = inspect.signature(kind).parameters.values() if kind else ()
    anything = any(one.kind is one.VAR_KEYWORD for one in given)
    return (anything or 'type' not in held) and not suggest(key, map(str, held))


def _class(held: Any) -> type | None:
    """Look up the class that a dict is given to, in all registries."""
    for name in registry.__all__ if held.get('type') else ():
        if name != 'SCOPE':
            kind = class_of(held['type'], getattr(registry, name))
            if isinstance(kind, type):
                return kind
    return None


def describe(space: Space) -> dict[str, str]:
    """Write the ranges as :func:`read_range` reads them."""
    return {key: _range_text(one) for key, one in space.items()}


def _range_text(one: BaseDistribution) -> str:
    if isinstance(one, CategoricalDistribution):
        return f'choice({",".join(map(str, one.choices))})'
    assert isinstance(one, (FloatDistribution, IntDistribution))
    kind = 'log' if one.log else 'int' if isinstance(one, IntDistribution) else 'float'
    step = None if one.log or (kind == 'int' and one.step == 1) else one.step
    numbers = [str(v) for v in (one.low, one.high, step) if v is not None]
    return f'{kind}({",".join(numbers)})'


def decode(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings' values at a point."""
    return {
        key: read_option(f'{key}={value}')[1] if isinstance(value, str) else value
        for key, value in point.items()
    }


def ends(space: Space) -> list[dict[str, Any]]:
    """Return the settings at the beginnings of all ranges, and at their ends."""
    first, last = {}, {}
    for key, one in space.items():
        if isinstance(one, CategoricalDistribution):
            first[key], last[key] = one.choices[0], one.choices[-1]
        elif isinstance(one, (FloatDistribution, IntDistribution)):
            first[key], last[key] = one.low, one.high
    return [decode(first), decode(last)]


def grid(space: Space) -> list[Point]:
    """List all points of choices and steps, the first setting's first values first.

    Raises:
        ConfigError: If a range is continuous.
    """
    values: list[list[Any]] = []
    for key, one in space.items():
        match one:
            case CategoricalDistribution():
                values.append(list(one.choices))
            case IntDistribution():
                values.append(list(range(one.low, one.high + 1, one.step)))
            case FloatDistribution(step=float(step)):
                count = round((one.high - one.low) / step) + 1
                values.append([one.low + i * step for i in range(count)])
            case _:
                raise ConfigError(
                    f'--sampler grid: {key} has no steps: give choice(A,B,..) or '
                    'float(LOW,HIGH,STEP)'
                )
    return [dict(zip(space, one, strict=True)) for one in itertools.product(*values)]


def option_texts(options: Mapping[str, Any]) -> list[str]:
    """Write settings as ``--cfg-options`` takes them, for a shell."""
    return [shlex.quote(f'{key}={_text(value)}') for key, value in options.items()]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f'[{",".join(map(_text, value))}]'
    if isinstance(value, tuple):
        return f'({",".join(map(_text, value))})'
    return str(value)
