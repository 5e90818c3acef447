"""Accuracies of several rows, side by side: seeds, mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import NamedTuple

from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, colour

OURS, PAPER = colour(2), colour(5)


class Values(NamedTuple):
    """What one row of a figure shows."""

    label: str
    values: Sequence[float]  # one a seed
    filled: bool  # the mean's mark: significantly different from the baseline, or that
    note: str = ''  # shown where there are no values


def draw_values(axes: Axes, rows: Sequence[Values]) -> None:
    """Draw rows from top to bottom."""
    for y, row in enumerate(rows):
        if not row.values:
            where = axes.get_yaxis_transform()
            axes.text(0.02, y, row.note, transform=where, va='center', color=GREY)
            continue
        axes.plot(row.values, [y] * len(row.values), '|', color=OURS, alpha=0.5, ms=7)
        axes.errorbar(
            mean(row.values),
            y,
            xerr=stdev(row.values) if len(row.values) > 1 else 0,
            fmt='o',
            color=OURS,
            capsize=3,
            mfc=OURS if row.filled else 'white',
        )
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis='x')
