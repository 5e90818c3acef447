"""The quickstart's figure: how the arms learn, and what the models answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colours, which the colour-blind tell apart
COLOURS = {'alone': '#E69F00', 'vitkd': '#0072B2', 'vitkd-nkd': '#009E73'}
DASHES = {'alone': (4, 2), 'vitkd': (1, 0), 'vitkd-nkd': (6, 2, 1, 2)}
RIGHT, WRONG = '#404040', '#D55E00'
COLUMNS = 6


def draw(
    path: Path,
    curves: dict[str, list[list[tuple[int, float]]]],
    teacher: float,
    names: dict[str, str],
    answers: dict[str, Any],
) -> None:
    """Draw the figure as ``path`` (PNG) and beside it as SVG.

    Args:
        path: Ends in ``.png``.
        curves: Arm to one curve ``[(epoch, percent), ...]`` a seed.
        teacher: The teacher's validation accuracy in percent.
        names: Arm to its name in the legend.
        answers: ``images`` uint8 ``(N, 8, 8, 3)``, and ``labels``, ``teacher`` and
            ``student``, ints ``(N, )``; ``title`` of the panel.
    """
    with plt.rc_context({'font.size': 9, 'svg.fonttype': 'none'}):
        figure = plt.figure(figsize=(10, 4.2), layout='constrained')
        left, right = figure.subfigures(1, 2, width_ratios=[1, 1.05])
        draw_curves(left.subplots(), curves, teacher, names)
        draw_digits(right, answers)
        figure.savefig(path, dpi=160)
        figure.savefig(path.with_suffix('.svg'))
        plt.close(figure)


def draw_curves(
    axes: Axes,
    curves: dict[str, list[list[tuple[int, float]]]],
    teacher: float,
    names: dict[str, str],
) -> None:
    """Draw every arm's mean over the seeds, and lowest to highest as a band."""
    for arm, runs in curves.items():
        epochs = [epoch for epoch, _ in runs[0]]
        values = np.array([[value for _, value in run] for run in runs])  # (seeds, n)
        axes.fill_between(
            epochs, values.min(0), values.max(0), color=COLOURS[arm], alpha=0.18, lw=0
        )
        axes.plot(
            epochs,
            values.mean(0),
            color=COLOURS[arm],
            dashes=DASHES[arm],
            marker='o' if len(epochs) == 1 else None,
            label=names[arm],
        )
    axes.axhline(teacher, color='black', lw=0.8, ls=':', label=names['teacher'])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel='epoch', ylabel='top-1 on the validation split, %')
    seeds = len(next(iter(curves.values())))
    over = f'mean, lowest and highest of {seeds} seeds' if seeds > 1 else 'one seed'
    axes.set_title(f'Accuracy while training ({over})', fontsize=10)
    axes.grid(alpha=0.3, lw=0.5)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(loc='lower right', frameon=False)


def draw_digits(figure: SubFigure, answers: dict[str, Any]) -> None:
    """Draw digits with both answers, a wrong one coloured and crossed."""
    grid = figure.subplots(-(-len(answers['labels']) // COLUMNS), COLUMNS)
    figure.suptitle(answers['title'], fontsize=10)
    for axes in grid.flat:
        axes.axis('off')
    cells = zip(
        grid.flat,
        answers['images'],
        answers['labels'],
        answers['teacher'],
        answers['student'],
        strict=False,  # the last row may have empty places
    )
    for axes, image, label, teacher, student in cells:
        axes.imshow(image, interpolation='nearest')
        axes.set_title(str(label), fontsize=8.5, pad=2)
        for side, name, answer in ((0.0, 'T', teacher), (0.56, 'S', student)):
            right = answer == label
            axes.text(
                side,
                -0.04,
                f'{name} {answer}{"" if right else " ✗"}',
                color=RIGHT if right else WRONG,
                weight='normal' if right else 'bold',
                va='top',
                fontsize=7.5,
                transform=axes.transAxes,
            )
