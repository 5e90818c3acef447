"""The quickstart's figure: how the students learn, and what the models predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

from mmvitkd.inspection.style import colour, dashes, save, style

RIGHT, WRONG = '#404040', colour(5)
COLUMNS = 6


def draw(
    stem: Path,
    curves: dict[str, list[list[tuple[int, float]]]],
    teacher: float,
    names: dict[str, str],
    predictions: dict[str, Any],
) -> None:
    """Draw the figure as ``stem.png`` and ``stem.svg``.

    Args:
        stem: Path without suffix.
        curves: By student, one curve ``[(epoch, percent), ...]`` a seed.
        teacher: The teacher's validation accuracy in percent.
        names: Of the students and of ``'teacher'``, for the legend.
        predictions: ``images`` uint8 ``(N, 8, 8, 3)``, and ``labels``, ``teacher`` and
            ``student``, ints ``(N, )``; ``title`` of the panel.
    """
    with style():
        figure = plt.figure(figsize=(10, 4.2))
        halves = figure.subfigures(1, 2, width_ratios=[1, 1.05], squeeze=False)
        left, right = halves[0]
        draw_curves(left.subplots(), curves, teacher, names)
        draw_digits(right, predictions)
        save(figure, stem)


def draw_curves(
    axes: Axes,
    curves: dict[str, list[list[tuple[int, float]]]],
    teacher: float,
    names: dict[str, str],
) -> None:
    """Draw the mean over the seeds, and lowest to highest as a band."""
    for i, (name, runs) in enumerate(curves.items(), 1):
        epochs = [epoch for epoch, _ in runs[0]]
        values = np.array([[value for _, value in run] for run in runs])  # (seeds, n)
        axes.fill_between(
            epochs, values.min(0), values.max(0), color=colour(i), alpha=0.18, lw=0
        )
        axes.plot(
            epochs,
            values.mean(0),
            color=colour(i),
            dashes=dashes(i),
            marker='o' if len(epochs) == 1 else None,
            label=names[name],
        )
    axes.axhline(teacher, color=colour(0), lw=0.8, ls=':', label=names['teacher'])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel='epoch', ylabel='top-1 on the validation split, %')
    seeds = len(next(iter(curves.values())))
    over = f'mean, lowest and highest of {seeds} seeds' if seeds > 1 else 'one seed'
    axes.set_title(f'Accuracy while training ({over})')
    axes.grid()
    axes.legend(loc='lower right')


def draw_digits(figure: SubFigure, predictions: dict[str, Any]) -> None:
    """Draw digits with both predictions, a wrong one coloured and crossed."""
    grid = figure.subplots(-(-len(predictions['labels']) // COLUMNS), COLUMNS)
    figure.suptitle(predictions['title'], fontsize=9)
    for axes in grid.flat:
        axes.axis('off')
    cells = zip(
        grid.flat,
        predictions['images'],
        predictions['labels'],
        predictions['teacher'],
        predictions['student'],
        strict=False,  # the last row may have empty places
    )
    for axes, image, label, teacher, student in cells:
        axes.imshow(image)
        axes.set_title(str(label), fontsize=8.5, pad=2)
        for side, name, predicted in ((0.0, 'T', teacher), (0.56, 'S', student)):
            right = predicted == label
            axes.text(
                side,
                -0.04,
                f'{name} {predicted}{"" if right else " ✗"}',
                color=RIGHT if right else WRONG,
                weight='normal' if right else 'bold',
                va='top',
                fontsize=7.5,
                transform=axes.transAxes,
            )
