"""Draw a table: our means and spreads beside the paper's figures."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from .results import Line
from .tables import Table

# of Okabe and Ito, told apart by the colour-blind
OURS, PAPER, GREY = '#0072B2', '#D55E00', '#666666'


def draw(table: Table, lines: list[Line], dataset: str, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``."""
    labels = [
        f'{line.cell.row}, {line.cell.column}' if line.cell.column else line.cell.row
        for line in lines
    ]
    panels = 2 if any(line.cell.paper is not None for line in lines) else 1
    figure, axes = plt.subplots(
        1,
        panels,
        figsize=(4.2 * panels + 2, 1.3 + 0.3 * len(lines)),
        sharey=True,
        squeeze=False,
        layout='constrained',
    )
    _ours(axes[0][0], lines, dataset)
    if panels == 2:
        _paper(axes[0][1], lines)
    axes[0][0].set_yticks(range(len(lines)), labels)
    axes[0][0].set_ylim(len(lines) - 0.5, -0.5)
    figure.suptitle(table.title, fontsize=11)
    plt.rcParams['svg.hashsalt'] = table.name  # the same file from the same numbers
    for suffix in ('svg', 'png'):
        date = {'Date': None} if suffix == 'svg' else None
        figure.savefig(stem.with_suffix(f'.{suffix}'), dpi=110, metadata=date)
    plt.close(figure)


def _ours(axes: Axes, lines: list[Line], dataset: str) -> None:
    for y, line in enumerate(lines):
        values = line.measured.top1
        if not values:
            note = line.cell.absent or ('failed' if line.measured.failures else '')
            where = axes.get_yaxis_transform()
            axes.text(0.02, y, note, transform=where, va='center', color=GREY, size=8)
            continue
        axes.plot(values, [y] * len(values), '|', color=OURS, alpha=0.5, ms=7)
        told_apart = line.is_baseline or line.is_noise is False
        axes.errorbar(
            statistics.mean(values),
            y,
            xerr=statistics.stdev(values) if len(values) > 1 else 0,
            fmt='o',
            color=OURS,
            capsize=3,
            mfc=OURS if told_apart else 'white',
        )
    alone = {
        round(statistics.mean(line.baseline.top1), 6)
        for line in lines
        if line.baseline.top1
    }
    if len(alone) == 1:
        axes.axvline(alone.pop(), color=GREY, lw=1, ls=':')
    axes.set_title(
        f'{dataset}, here (hollow: within the noise, or one seed)', fontsize=9
    )
    _finish(axes)


def _paper(axes: Axes, lines: list[Line]) -> None:
    for y, line in enumerate(lines):
        if line.cell.paper is not None:
            axes.plot(line.cell.paper, y, 'D', color=PAPER, ms=6)
    alone = {line.cell.paper for line in lines if line.is_baseline} - {None}
    if len(alone) == 1:
        axes.axvline(alone.pop(), color=GREY, lw=1, ls=':')
    axes.set_title('ImageNet-1K, the paper', fontsize=9)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.set_xlabel('top-1 accuracy, %')
    axes.grid(axis='x', alpha=0.3)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
