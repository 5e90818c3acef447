"""Where in the configs of a program something stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from .config_names import walk
from .types import name_of


class Read(NamedTuple):
    """A config that the program has read."""

    name: str
    cfg: Config


_read: list[Read] = []


def note_config(cfg: Config, name: str | Path, main: bool = True) -> None:
    """Let errors name places in a config.

    Args:
        cfg: As it was read.
        name: Its file.
        main: Whether it is what the command runs, whose places go without the file's
            name. Defaults to True.
    """
    if main:
        _read.clear()
    _read.append(Read('' if main else f'{name}: ', cfg))


def place_of(builds: Iterable[Any]) -> str:
    """Find the innermost dict that a config has, inside the outer ones."""
    found = ''
    for build in reversed(list(builds)):
        found = _place_of(build.cfg, inside=found) or found
    return found


def placed(builds: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Go through those that have a place of their own, from the innermost one on."""
    for number, build in enumerate(builds):
        place = place_of(builds[number:])
        if place and place != place_of(builds[number + 1 :]):
            yield place, build


def _place_of(built: Any, inside: str = '') -> str | None:
    """Find the dict in the configs that agrees best with one that was built.

    What is built is a copy, often with defaults added and a scope taken out.
    """
    best, most = None, (False, 0)
    for place, value in everything():
        if isinstance(built, dict) and isinstance(value, dict):
            score = _agreement(value, built)
        else:
            score = int(not isinstance(value, dict) and value == built)
        # or that itself, whose methods call each other
        within = bool(inside) and f'{place}.'.startswith(f'{inside}.')
        rank = (within, score)
        if score and rank > most:
            best, most = place, rank
    return best


def everything() -> Iterator[tuple[str, Any]]:
    for name, cfg in _read:
        for key in cfg:
            yield from walk(cfg[key], f'{name}{key}')


def _agreement(value: dict, built: dict) -> int:
    """Count what a dict of the config and a built one have in common."""
    keys = set(value) - {'_scope_', 'type'}
    kind = name_of(built.get('type'))
    if name_of(value.get('type', kind)) != kind:
        return 0
    same = sum(key in built and are_equal(value[key], built[key]) for key in keys)
    if not same and 'type' not in value:
        return 0
    return max(3 * same - len(keys - set(built)) + ('type' in value), 0)


def are_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except (RuntimeError, TypeError, ValueError):  # of arrays
        return False
