"""The cases of a benchmark: configs, teachers, numbers of terms, sizes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .report import Record


def vary(
    configs: Sequence[tuple[str, Config]], args: argparse.Namespace
) -> Iterator[tuple[str, Config, Record]]:
    """Go through all combinations of what the command names several of.

    Args:
        configs: Distillers', with their paths.
        args: As the command reads them.

    Yields:
        A title; the changed copy of a config; and what the case is a point of:
        ``config``, ``teacher``, ``terms``, ``batch_size`` and ``image_size``, None
        where it is the config's own.

    Raises:
        ValueError: If a config has fewer terms than named, or several teachers where
            they are to be replaced.
    """
    names = [path for path, _ in configs]
    for path, cfg in configs:
        grid = product(
            args.teachers or [None],
            args.terms or [None],
            args.batch_size,
            args.image_size,
        )
        for teacher, terms, batch_size, image_size in grid:
            changed = deepcopy(cfg)
            _take_teacher(changed, teacher, path)
            _take_terms(changed, terms, path)
            over = {
                'config': path,
                'teacher': teacher,
                'terms': terms,
                'batch_size': batch_size,
                'image_size': image_size,
            }
            yield title(over, names), changed, over


def _take_teacher(cfg: Config, teacher: str | None, path: str) -> None:
    if teacher is None:
        return
    if not cfg.model.get('teacher'):
        raise ValueError(f"--teachers: '{path}' has several teachers, or none")
    cfg.model.teacher.cfg = teacher  # of random weights, whatever its checkpoint


def _take_terms(cfg: Config, count: int | None, path: str) -> None:
    if count is None:
        return
    every = [name for name, term in cfg.model.terms.items() if term]
    if count > len(every):
        raise ValueError(
            f"--terms {count}: '{path}' has {len(every)}: {', '.join(every)}"
        )
    for name in every[count:]:
        cfg.model.terms.pop(name)


def title(over: Record, configs: Sequence[str]) -> str:
    """Name a case; its config by the whole path where another has the same name."""
    path: str = over['config']
    stem = Path(path).stem
    twice = any(Path(p).stem == stem for p in configs if p != path)
    parts: list[Any] = [path if twice else stem]
    if over['teacher']:
        parts.append(f'teacher {teacher_name(over["teacher"])}')
    if over['terms']:
        parts.append(f'{over["terms"]} term' + 's' * (over['terms'] > 1))
    if over['batch_size']:
        parts.append(f'batch {over["batch_size"]}')
    if over['image_size']:
        parts.append(f'{over["image_size"]} pixels')
    return ', '.join(parts)


def teacher_name(config: str) -> str:
    """Name a teacher by its config's file."""
    return Path(config.rpartition('::')[2]).stem
