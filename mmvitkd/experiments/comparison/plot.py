"""Draw a comparison: differences to the baseline, and what a training costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, colour, dashes, name_points, save, style

from .methods import Comparison
from .plan import Row

OURS = colour(2)
FEW = 10  # methods, whose names have room


def draw(comparison: Comparison, rows: Sequence[Row], stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``: a forest plot, and what a step costs.

    Args:
        comparison: Its baseline is the zero, what else all are compared with a line.
        rows: From top to bottom.
        stem: The files' path without suffix.
    """
    with style():
        figure, (left, right) = plt.subplots(
            1,
            2,
            figsize=(8.5, 1.5 + 0.24 * len(rows)),
            sharey=True,
            width_ratios=(2, 1),
        )
        _draw_differences(left, rows, comparison)
        if left.get_legend_handles_labels()[0]:
            figure.legend(loc='outside lower center', ncols=2)
        _draw_steps(right, rows)
        right.set_xlabel(fill(f'a step, relative to {comparison.timed_against}', 30))
        save(figure, stem)


def _draw_differences(axes: Axes, rows: Sequence[Row], comparison: Comparison) -> None:
    for y, row in enumerate(rows):
        difference = row.differences.get(comparison.baseline)
        if difference is None:
            own = row.name == comparison.baseline and row.test.top1
            text = f'{row.test.mean():.1f} %' if own else 'failed' * bool(row.failures)
            axes.text(
                0.02, y, text, transform=axes.get_yaxis_transform(), va='center',
                color=GREY,
            )  # fmt: skip
            continue
        if difference.low is not None and difference.high is not None:
            axes.plot([difference.low, difference.high], [y, y], color=OURS)
        face = OURS if difference.significant else 'white'
        axes.plot(difference.value, y, 'o', color=OURS, mfc=face)
        if row.name == comparison.to_beat:
            look: dict[str, Any] = {'color': colour(5), 'dashes': dashes(5)}
            axes.axvline(difference.value, lw=1, label=row.name, zorder=0, **look)
    axes.axvline(0, lw=1, color=GREY, zorder=0, label=comparison.baseline)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis='x')
    axes.set_title('95 % confidence intervals; hollow: not significant')
    axes.set_xlabel(f'top-1 on the test split, points above {comparison.baseline}')


def _draw_steps(axes: Axes, rows: Sequence[Row]) -> None:
    for y, row in enumerate(rows):
        if 'ratio' in row.costs:
            low, middle, high = row.costs['ratio']
            axes.plot([low, high], [y, y], color=GREY)
            axes.plot(middle, y, 'o', color=GREY)
    axes.axvline(1, color=GREY, lw=1, ls=':', zorder=0)
    axes.set_title('median and quartiles')
    axes.grid(axis='x')


def training_costs(comparison: Comparison, rows: Sequence[Row]) -> dict[str, float]:
    """Return what a whole training costs, relative to the baseline's, by method.

    A step's time, as measured side by side, times the epochs, which have as many steps
    each where the data are the same. Without the costs of the baseline there is none.
    """
    costs = {
        row.name: row.costs['ratio'][1] * row.method.cfg.train_cfg.max_epochs
        for row in rows
        if 'ratio' in row.costs and 'max_epochs' in row.method.cfg.train_cfg
    }
    one = costs.get(comparison.baseline)
    return {name: cost / one for name, cost in costs.items()} if one else {}


def draw_costs(comparison: Comparison, rows: Sequence[Row], stem: Path) -> bool:
    """Write ``stem.svg`` and ``stem.png``: accuracy against the cost of the training.

    Named are the methods that no cheaper one equals, and those that all are compared
    with; of few methods all.

    Returns:
        Whether there was anything to draw.
    """
    costs = training_costs(comparison, rows)
    points = [
        (costs[row.name], row.test.mean() or 0.0, row)
        for row in rows
        if row.name in costs and row.test.top1
    ]
    if not points:
        return False
    named = {*comparison.references.values()}
    best = 0.0
    for _, top1, row in sorted(points, key=lambda point: (point[0], -point[1])):
        if top1 > best:
            best = top1
            named.add(row.name)
    if len(points) <= FEW:
        named |= {row.name for _, _, row in points}
    with style():
        figure, axes = plt.subplots(figsize=(8.5, 4))
        for cost, top1, row in points:
            axes.plot(cost, top1, 'o', color=OURS if row.name in named else GREY)
        axes.set_xlabel(f'cost of the training, relative to {comparison.baseline}')
        axes.set_ylabel('top-1 on the test split, %')
        axes.grid()
        name_points(
            figure,
            axes,
            [(cost, top1) for cost, top1, _ in points],
            [row.name if row.name in named else None for _, _, row in points],
        )
        save(figure, stem)
    return True
