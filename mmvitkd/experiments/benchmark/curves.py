"""Draw a step's cost over image size, teacher, number of terms and batch."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mmvitkd.inspection.style import colour, plain_numbers, save, style

from .cases import title
from .report import Record, ratios

# what a case is a point of, and where along the axis it lies
AXES = {
    'image_size': 'height and width of the images, pixels',
    'teacher': "the teacher's parameters, millions",
    'terms': 'terms',
    'batch_size': 'images of a step',
}
LOGARITHMIC = ('teacher', 'batch_size')
FEWEST = 3  # points of a curve


class Curve(NamedTuple):
    """Cases that differ in one quantity, from the smallest to the largest."""

    name: str
    cases: list[Record]


def find_curves(cases: list[Record]) -> dict[str, list[Curve]]:
    """Find series of three cases or more that differ in one quantity.

    Args:
        cases: With ``over``, and the times of ``student``, ``teacher`` and ``config``.

    Returns:
        By the quantity, its curves.
    """
    needed = {'student', 'teacher', 'config'}
    timed = [case for case in cases if needed <= case['times'].keys()]
    found = {}
    for axis in AXES:
        series = defaultdict(list)
        for case in timed:
            if place(case, axis) is not None:
                rest = {**case['over'], axis: None}
                series[tuple(rest.items())].append(case)
        curves = [
            Curve(
                title(dict(rest), [case['over']['config'] for case in timed]),
                sorted(each, key=lambda case: place(case, axis) or 0),
            )
            for rest, each in series.items()
            if len(each) >= FEWEST
        ]
        if curves:
            found[axis] = curves
    return found


def place(case: Record, axis: str) -> float | None:
    """Return where a case lies along an axis; None: it is no point of such a curve."""
    if case['over'][axis] is None:
        return None
    if axis == 'teacher':
        return case['teacher_parameters'] / 1e6
    return float(case['over'][axis])


def draw_curves(cases: list[Record], stem: Path) -> bool:
    """Write ``stem.svg`` and ``stem.png``, a panel a quantity.

    Returns:
        Whether there was a curve to draw.
    """
    found = find_curves(cases)
    if not found:
        return False
    with style():
        figure, axes = plt.subplots(
            1, len(found), figsize=(4.6 * len(found), 3.4), squeeze=False
        )
        for panel, (axis, curves) in zip(axes[0], found.items(), strict=True):
            _panel(panel, axis, curves)
        save(figure, stem)
    return True


def _panel(axes: Axes, axis: str, curves: list[Curve]) -> None:
    """Draw the config's step and its two models', relative to the student's."""
    for i, (name, cases) in enumerate(curves):
        places, whole, models = [], [], []
        for case in cases:
            x = place(case, axis)
            step = ratios(case['times'], 'config', ('student',))
            teacher = ratios(case['times'], 'teacher', ('student',))
            assert x and step and teacher  # find_curves took no others
            places.append(x)
            whole.append(step)
            models.append(1 + teacher.median)
        medians = [step.median for step in whole]
        ends = [[s.median - s.low for s in whole], [s.high - s.median for s in whole]]
        axes.errorbar(places, medians, ends, fmt='o-', color=colour(i), label=name)
        axes.plot(places, models, '--', color=colour(i))
    axes.plot([], [], '--', color='black', label='student + teacher')
    if axis in LOGARITHMIC:
        axes.set_xscale('log')
        plain_numbers(axes.xaxis)
    elif axis == 'terms':
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(AXES[axis])
    axes.set_ylabel("a step, to the student's without distillation")
    axes.legend(fontsize=7)
    axes.grid()
