"""Draw a comparison: accuracies, and what a step costs."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, colour, dashes, save, style

from .page import Line

OURS = colour(2)


def draw(lines: list[Line], alone: Line, to_beat: Line, timed: str, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``.

    Args:
        lines: From top to bottom.
        alone: Drawn as a line down the figure, as ``to_beat`` is.
        to_beat: See ``alone``.
        timed: The name of the method whose step is 1.
        stem: The file's path without suffix.
    """
    with style():
        figure, (left, right) = plt.subplots(
            1,
            2,
            figsize=(8.5, 1.5 + 0.24 * len(lines)),
            sharey=True,
            width_ratios=(2, 1),
        )
        _accuracies(left, lines, to_beat)
        for index, other in enumerate((alone, to_beat), start=4):
            if other.test.top1:
                where = mean(other.test.top1)
                look = {'color': colour(index), 'dashes': dashes(index)}
                left.axvline(where, lw=1, label=other.name, zorder=0, **look)
        if left.get_legend_handles_labels()[0]:
            figure.legend(loc='outside lower center', ncols=2)
        _steps(right, lines)
        right.set_xlabel(f'a step, to {timed}')
        left.set_yticks(range(len(lines)), [line.name for line in lines])
        left.set_ylim(len(lines) - 0.5, -0.5)
        save(figure, stem)


def _accuracies(axes: Axes, lines: list[Line], to_beat: Line) -> None:
    """Draw seeds, mean and spread; hollow where it is not told from ``to_beat``."""
    for y, line in enumerate(lines):
        values = line.test.top1
        if not values:
            note = 'failed' if line.reason else ''
            where = axes.get_yaxis_transform()
            axes.text(0.02, y, note, transform=where, va='center', color=GREY)
            continue
        axes.plot(values, [y] * len(values), '|', color=OURS, alpha=0.5, ms=7)
        told_apart = line is to_beat or line.is_noise(to_beat) is False
        axes.errorbar(
            mean(values),
            y,
            xerr=stdev(values) if len(values) > 1 else 0,
            fmt='o',
            color=OURS,
            capsize=3,
            mfc=OURS if told_apart else 'white',
        )
    axes.set_title(f'hollow: not told apart from {to_beat.name}')
    axes.set_xlabel('top-1 on the test split, %')
    axes.grid(axis='x')


def _steps(axes: Axes, lines: list[Line]) -> None:
    for y, line in enumerate(lines):
        if 'ratio' in line.costs:
            low, middle, high = line.costs['ratio']
            axes.plot([low, high], [y, y], color=GREY)
            axes.plot(middle, y, 'o', color=GREY)
    axes.axvline(1, color=GREY, lw=1, ls=':', zorder=0)
    axes.set_title('median and quartiles')
    axes.grid(axis='x')
