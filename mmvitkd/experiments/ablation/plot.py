"""Draw a table: our means and spreads beside the paper's figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, save, style

from ..plot import PAPER, Values, draw_values
from .page import Row
from .tables import Table


def draw(table: Table, rows: Sequence[Row], dataset: str, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``."""
    panels = 2 if any(row.cell.paper is not None for row in rows) else 1
    size = (4.2 * panels + 2, 1.3 + 0.3 * len(rows))
    with style():
        figure, grid = plt.subplots(1, panels, figsize=size, sharey=True, squeeze=False)
        ours = grid[0][0]
        draw_values(ours, [_values(row) for row in rows])
        _finish(ours, {round(row.baseline.mean() or 0, 6) for row in rows} - {0})
        ours.set_title(f'{dataset}, here (hollow: not significant, or one seed)')
        if panels == 2:
            _draw_paper(grid[0][1], rows)
        figure.suptitle(table.title)
        save(figure, stem)


def _values(row: Row) -> Values:
    note = row.cell.absent or ('failed' if row.measured.failures else '')
    significant = row.difference is not None and row.difference.significant
    filled = row.is_baseline or bool(significant)
    return Values(row.name, row.measured.top1, filled, note)


def _draw_paper(axes: Axes, rows: Sequence[Row]) -> None:
    for y, row in enumerate(rows):
        if row.cell.paper is not None:
            axes.plot(row.cell.paper, y, 'D', color=PAPER, ms=6)
    _finish(axes, {row.cell.paper for row in rows if row.is_baseline} - {None})
    axes.set_title('ImageNet-1K, the paper')
    axes.grid(axis='x')


def _finish(axes: Axes, baselines: Iterable[float | None]) -> None:
    """Draw a line down the figure if there is one baseline."""
    values = [value for value in baselines if value is not None]
    if len(values) == 1:
        axes.axvline(values[0], color=GREY, lw=1, ls=':')
    axes.set_xlabel('top-1 accuracy, %')
