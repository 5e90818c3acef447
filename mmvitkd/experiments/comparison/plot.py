"""Draw a comparison: accuracies, and what a step costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, colour, dashes, save, style

from ..plot import Values, draw_values
from .methods import Comparison
from .plan import Row


def draw(comparison: Comparison, rows: Sequence[Row], stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``.

    Args:
        comparison: What all are compared with is a line down the figure each.
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
        draw_values(left, [_values(row, comparison.to_beat) for row in rows])
        for row in rows:
            if row.name in comparison.references.values() and row.test.top1:
                index = 4 + (row.name == comparison.to_beat)
                look = {'color': colour(index), 'dashes': dashes(index)}
                left.axvline(row.test.mean(), lw=1, label=row.name, zorder=0, **look)
        if left.get_legend_handles_labels()[0]:
            figure.legend(loc='outside lower center', ncols=2)
        left.set_title(f'hollow: not significantly different from {comparison.to_beat}')
        left.set_xlabel('top-1 on the test split, %')
        _draw_steps(right, rows)
        right.set_xlabel(f'a step, relative to {comparison.timed_against}')
        save(figure, stem)


def _values(row: Row, to_beat: str) -> Values:
    difference = row.differences.get(to_beat)
    significant = difference is not None and bool(difference.significant)
    note = 'failed' if row.failures else ''
    return Values(row.name, row.test.top1, significant or row.name == to_beat, note)


def _draw_steps(axes: Axes, rows: Sequence[Row]) -> None:
    for y, row in enumerate(rows):
        if 'ratio' in row.costs:
            low, middle, high = row.costs['ratio']
            axes.plot([low, high], [y, y], color=GREY)
            axes.plot(middle, y, 'o', color=GREY)
    axes.axvline(1, color=GREY, lw=1, ls=':', zorder=0)
    axes.set_title('median and quartiles')
    axes.grid(axis='x')
