"""How the runs learned: validations, losses by term, whatever else was logged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from mmvitkd.inspection.style import GREY, colour, dashes, plain_numbers, save, style

from .groups import NO_METRICS, Group, teacher_groups
from .page import Csv, Figure, Section, Text, slug

HIGHLIGHTED = 6  # groups in colour; more can't be distinguished
POINTS = 400  # of a line; more are averaged
NO_LOSSES = (*NO_METRICS, 'epoch', 'iter', 'eta', 'memory', 'base_lr')
SIZE = (5.2, 3.3)


@dataclass(frozen=True)
class Line:
    """A group's line in a figure, over steps."""

    name: str
    steps: list[float]
    means: list[float]
    lows: list[float]
    highs: list[float]


def curves(groups: list[Group], metric: str, folder: Path) -> Section:
    """Draw everything that was logged over the training; the files go to a folder."""
    section = Section('Curves')
    highlighted, others = choose(groups, metric)
    if others:
        section.blocks.append(
            Text(
                'In colour: the teacher of the best, the best baseline, and the runs '
                f'that ended best. The other {len(others)} are grey, and only in the '
                'validations.'
            )
        )
    for key in _keys(groups, 'val', metric):
        section.blocks += _figure(key, 'val', highlighted, others, folder)
    for key in _keys(groups, 'train', 'loss'):
        section.blocks += _figure(key, 'train', highlighted, [], folder)
    if not section.blocks:
        section.blocks.append(Text('Nothing was logged.', warning=True))
    return section


def choose(groups: list[Group], metric: str) -> tuple[list[Group], list[Group]]:
    """Choose the groups to be drawn in colour.

    Returns:
        Those, a teacher first, and the others.
    """

    def ended(group: Group) -> float:
        return max(group.finals(metric), default=-math.inf)

    # in the order of the models that are looked into, so that colours agree
    ranked = sorted((g for g in groups if not g.is_teacher), key=ended, reverse=True)
    baseline = [group for group in ranked if group.is_baseline][:1]
    others = [group for group in ranked if group not in baseline]
    others.sort(key=lambda group: not group.is_distilled)
    best = [group for group in others if group.is_distilled][:1]
    teachers = [teacher for group in best for teacher in teacher_groups(group, groups)]
    chosen = [*teachers[:1], *[*baseline, *others][:HIGHLIGHTED]]
    return chosen, [group for group in groups if group not in chosen]


def _keys(groups: list[Group], kind: str, first: str) -> list[str]:
    """List what was logged, the most wanted first."""
    records = [
        record
        for group in groups
        for run in group.runs
        for record in (run.train if kind == 'train' else run.val)
    ]
    names = {name for record in records for name in record if name not in NO_LOSSES}
    # which the monitor logs a second time
    names = {name for name in names if not name.startswith('distill/loss')}
    rank = {name: (name != first, 'loss' not in name, name) for name in names}
    return sorted(names, key=rank.__getitem__)


def _figure(
    key: str, kind: str, highlighted: list[Group], others: list[Group], folder: Path
) -> list[Figure]:
    found = {group.name: line_of(group, key, kind) for group in (*highlighted, *others)}
    lines = {name: line for name, line in found.items() if line is not None}
    if not lines:
        return []
    name = slug(f'{kind}-{key}')
    drawing = draw(lines, highlighted, key, _x_label(highlighted or others, kind))
    rows = [
        [line.name, step, *(f'{value:.6g}' for value in values)]
        for line in lines.values()
        for step, *values in zip(
            line.steps, line.means, line.lows, line.highs, strict=True
        )
    ]
    header = ['run', 'step', 'mean', 'lowest', 'highest']
    save(drawing, folder / name)
    return [
        Figure(
            f'{title(key, kind)}{_seeds_noted(highlighted)}',
            alt(lines, title(key, kind)),
            folder / f'{name}.svg',
            Csv.of(name, [header, *rows]),
        )
    ]


def title(key: str, kind: str) -> str:
    """Name a logged value in words."""
    if kind == 'val':
        return f'Validation: {key}'
    if key == 'loss':
        return "The student's own loss on the labels"
    term = key.removeprefix('loss_')
    return f'Loss of the term {term}' if term != key else f'Training: {key}'


def _x_label(groups: list[Group], kind: str) -> str:
    if kind == 'train':
        return 'iteration'
    return ', '.join(sorted({group.first.unit for group in groups}))


def _seeds_noted(groups: list[Group]) -> str:
    if any(len(group.runs) > 1 for group in groups):
        return '; mean over the seeds, lowest to highest as a band'
    return ''


def line_of(group: Group, key: str, kind: str) -> Line | None:
    """Average a group's runs, as far as all of them came; None without any value.

    A run that logged at other steps than the first is interpolated.
    """
    series = [run.series(key, kind) for run in group.runs]
    series = [[(x, y) for x, y in one if math.isfinite(y)] for one in series]
    series = [one for one in series if one]
    if not series:
        return None
    low, high = max(one[0][0] for one in series), min(one[-1][0] for one in series)
    steps = [x for x, _ in series[0] if low <= x <= high]
    if not steps:  # one run broke off before another logged first
        series = [max(series, key=len)]
        steps = [x for x, _ in series[0]]
    # (runs, steps)
    points = [np.array(one).T for one in series]
    values = np.array([np.interp(steps, x, y) for x, y in points])
    size = -(-len(steps) // POINTS)
    starts = np.arange(0, len(steps), size)
    sizes = np.diff([*starts, len(steps)])
    values = np.add.reduceat(values, starts, axis=1) / sizes
    return Line(
        group.name,
        [steps[start + size - 1] for start, size in zip(starts, sizes, strict=True)],
        values.mean(0).tolist(),
        values.min(0).tolist(),
        values.max(0).tolist(),
    )


def draw(
    lines: dict[str, Line], highlighted: list[Group], label: str, x_label: str
) -> Drawing:
    """Draw lines over steps; those that are not highlighted are grey."""
    with style():
        drawing, axes = plt.subplots(figsize=SIZE)
        named = [group.name for group in highlighted]
        for name, line in lines.items():
            if name not in named:
                axes.plot(line.steps, line.means, color=GREY, alpha=0.25, lw=0.7)
        for group in highlighted:
            if group.name in lines:
                _draw_line(axes, lines[group.name], place(group, highlighted))
        axes.set(xlabel=x_label, ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(True)
        values = [y for line in lines.values() for y in line.means]
        if min(values) > 0 and max(values) / min(values) > 100:
            axes.set_yscale('log')
            plain_numbers(axes.yaxis)
        axes.legend(fontsize=7.5)
    return drawing


def place(group: Group, highlighted: list[Group]) -> int:
    """Return a group's place among the colours, of which 0 is the teacher's."""
    if group.is_teacher:
        return 0
    return 1 + [g.name for g in highlighted if not g.is_teacher].index(group.name)


def _draw_line(axes: Axes, line: Line, index: int) -> None:
    if line.lows != line.highs:
        axes.fill_between(
            line.steps, line.lows, line.highs, color=colour(index), alpha=0.18, lw=0
        )
    axes.plot(
        line.steps,
        line.means,
        color=colour(index),
        dashes=dashes(index),
        marker='o' if len(line.steps) == 1 else None,
        label=short(line.name),
    )


def short(name: str, size: int = 34) -> str:
    """Cut a name's middle out where it is too long for a legend."""
    half = size // 2
    return name if len(name) <= size else f'{name[:half]}…{name[-half:]}'


def alt(lines: dict[str, Line], label: str) -> str:
    """Say in words what a figure of lines shows."""
    told = [
        f'{line.name} from {line.means[0]:.3g} to {line.means[-1]:.3g}'
        for line in list(lines.values())[: HIGHLIGHTED + 1]
    ]
    more = len(lines) - len(told)
    rest = f', and {more} more' if more > 0 else ''
    return f'Line chart. {label}: {"; ".join(told)}{rest}.'
