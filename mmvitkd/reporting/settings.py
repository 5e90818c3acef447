"""What the runs were told, and on what machine they were: configs, environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .groups import Group
from .page import Cell, Folded, Listing, Section, Table, Text, slug
from .runs import Run

ABSENT = 'absent'
# what is compared part by part, also with nothing
BY_PARTS = ('', 'model', 'model.terms', 'model.teachers')
# of MMEngine's list, what says little about a result
LEFT_OUT = (
    'PyTorch compiling details',
    'numpy_random_seed',
    'MUSA available',
    'seed',
    'GCC',
)
OPEN = 3  # tables of differences that are shown at once; more are folded


def settings(groups: list[Group]) -> Section:
    """Compare the configs: every group's with the first's, or the student's alone."""
    section = Section('Settings')
    known = [group for group in groups if group.first.settings]
    alone = [group for group in known if group.is_baseline]
    base = next(iter([*alone, *known]), None)
    if base is None:
        section.blocks.append(Text('No run has a config.', warning=True))
        return section
    others = [group for group in known if group is not base]
    if others:
        section.blocks.append(
            Text(
                f'What differs from {base.name}. Settings of the machine or of a start '
                'alone, such as the work dir, are left out; a seed makes no other run.'
            )
        )
    for group in others:
        table = difference(base, group)
        fold = len(others) > OPEN
        section.blocks.append(Folded(group.name, table) if fold else table)
    for group in known:
        if group.first.config is not None:
            text = group.first.config.read_text(encoding='utf-8')
            section.blocks.append(Listing(f'Whole config of {group.name}', text))
    return section


def difference(base: Group, group: Group) -> Table:
    """List the settings in which a group differs from another."""
    there, here = (_comparable(one.first.settings) for one in (base, group))
    rows = [
        [Cell(name), *(Cell(ABSENT if v is ABSENT else _text(v)) for v in values)]
        for name, *values in _differences(there, here)
    ]
    return Table(
        f'settings-{slug(group.name)}',
        f'{group.name} against {base.name}: {len(rows)} settings differ.',
        ['setting', 'there', 'here'],
        rows,
    )


def _comparable(settings: dict[str, Any]) -> dict[str, Any]:
    """Name a plain classifier's parts as those of a distiller's student."""
    settings = {k: v for k, v in settings.items() if k != 'randomness'}
    model = settings.get('model') or {}
    if 'student' not in model:
        settings['model'] = {'student': model}
    return settings


def _differences(one: Any, other: Any, name: str = '') -> Iterator[tuple]:
    """Yield dotted names with both values; what one side lacks is kept whole."""
    if name in BY_PARTS:
        one, other = ({} if v is ABSENT else v for v in (one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            inner = f'{name}.{key}' if name else key
            there, here = (side.get(key, ABSENT) for side in (one, other))
            yield from _differences(there, here, inner)
    elif one != other:
        yield name, one, other


def _text(value: Any) -> str:
    """Write a setting shortly: a dict with a type as a call."""
    if isinstance(value, dict):
        inner = ', '.join(f'{k}={_text(v)}' for k, v in value.items() if k != 'type')
        return f'{value["type"]}({inner})' if 'type' in value else f'({inner})'
    if isinstance(value, (list, tuple)):
        return f'[{", ".join(map(_text, value))}]'
    return str(value)


def environment(groups: list[Group], command: str) -> Section:
    """List seeds, machines and versions of the runs, and what made the report."""
    section = Section('Environment')
    runs = [run for group in groups for run in group.runs]
    rows = [
        [
            Cell(run.name),
            Cell('' if run.seed is None else str(run.seed), run.seed),
            Cell(run.started),
            Cell(str(len(run.trainings)), len(run.trainings)),
            Cell(str(run.folder)),
        ]
        for run in runs
    ]
    section.blocks.append(
        Table(
            'seeds',
            'Seeds and starts of every run.',
            ['run', 'seed', 'started', 'starts', 'work dir'],
            rows,
            frozenset(('seed', 'starts')),
        )
    )
    for number, (facts, names) in enumerate(_machines(runs), start=1):
        section.blocks.append(
            Table(
                f'environment-{number}',
                f'Machine and versions of {_listed(names)}.',
                ['fact', 'value'],
                [[Cell(key), Cell(value)] for key, value in facts],
            )
        )
    section.blocks.append(Text(f'This report was written by: {command}'))
    return section


def _machines(runs: list[Run]) -> list[tuple[list[tuple[str, str]], list[str]]]:
    """Put runs of equal environments together."""
    found: dict[tuple, list[str]] = {}
    for run in runs:
        facts = [(k, v) for k, v in run.environment.items() if k not in LEFT_OUT]
        if facts:
            found.setdefault(tuple(facts), []).append(run.name)
    return [(list(facts), names) for facts, names in found.items()]


def _listed(names: list[str]) -> str:
    if len(names) <= 4:
        return ', '.join(names)
    return f'{", ".join(names[:3])} and {len(names) - 3} more'
