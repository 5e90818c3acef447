"""One look for every figure of the analysis and the report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator
from matplotlib.transforms import Bbox

# of Okabe and Ito, told apart by the colour-blind; the first is the teacher's
COLOURS = ('#000000', '#E69F00', '#0072B2', '#009E73', '#CC79A7', '#D55E00', '#56B4E9')
DASHES: tuple[tuple[float, ...], ...] = (
    (1, 2),
    (4, 2),
    (1, 0),
    (6, 2, 1, 2),
    (2, 1),
    (8, 2),
    (3, 1, 1, 1),
)
GREY = '#666666'
KINDS = ('svg', 'png')
_kinds: ContextVar[Sequence[str]] = ContextVar('kinds', default=KINDS)
# of numbers on coloured cells: as the cells, the same on every page
ON_DARK, ON_BRIGHT = '#fefefe', '#010101'
# its lightness grows evenly, so it also reads in grey and to the colour-blind
SEQUENTIAL = 'viridis'

# of a name beside its point: offsets in points, and which of its edges are there
PLACES = tuple(
    (x, y, 'left' if x > 0 else 'right' if x < 0 else 'center', base)
    for x, y, base in (
        (6, 0, 'center'),
        (5, 4, 'bottom'),
        (5, -4, 'top'),
        (-6, 0, 'center'),
        (-5, 4, 'bottom'),
        (-5, -4, 'top'),
        (0, 6, 'bottom'),
        (0, -6, 'top'),
        (0, 18, 'bottom'),
        (0, -18, 'top'),
    )
)

# what rc_context() takes is typed otherwise by every matplotlib
RC: Any = {
    'font.size': 9,
    'axes.titlesize': 9,
    'figure.titlesize': 11,
    'legend.frameon': False,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'grid.alpha': 0.3,
    'grid.linewidth': 0.5,
    'figure.constrained_layout.use': True,
    'savefig.dpi': 140,
    # every value as one sharp square, and small files
    'image.interpolation': 'none',
    # a name with a dollar is a name
    'text.parse_math': False,
    # text stays text, which is small and can be searched
    'svg.fonttype': 'none',
    'svg.hashsalt': 'mmvitkd',
}


@contextmanager
def style() -> Iterator[None]:
    """Draw what is inside in this style; make and save the figure in it."""
    with plt.rc_context(RC):
        yield


def colour(index: int) -> str:
    """Return the colour of the model at ``index`` of the command line."""
    return COLOURS[index % len(COLOURS)]


def dashes(index: int) -> tuple[float, ...]:
    """Return the dashes of the model at ``index``, for those who see no colours."""
    return DASHES[index % len(DASHES)]


def draw_depth(ax: Axes, values: Sequence[float], index: int, name: str) -> None:
    """Draw a value over the layers, of the model at ``index``."""
    look: dict[str, Any] = {'color': colour(index), 'dashes': dashes(index)}
    ax.plot(values, marker='o', ms=3, label=name, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel('layer')
    ax.grid(axis='y')


def name_points(
    figure: Figure,
    ax: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str | None],
) -> None:
    """Write names beside points, where they hide neither a point nor another name.

    The figure must be complete otherwise: its layout and the axes' limits are fixed.

    Args:
        figure: What is drawn in.
        ax: Where the points are.
        points: All of them, in the axes' units.
        names: One a point; None for one that gets none.
    """
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    _fix_layout(figure)
    size = 3 * figure.dpi / 72  # of half a point's marker
    taken = [
        Bbox.from_bounds(x - size, y - size, 2 * size, 2 * size)
        for x, y in ax.transData.transform(list(points))
    ]
    for point, name in zip(points, names, strict=True):
        if name is None:
            continue
        tried = []
        for x, y, side, base in PLACES:
            text = ax.annotate(
                name, point, (x, y), textcoords='offset points', ha=side, va=base
            )
            box = text.get_window_extent()
            hidden = sum(box.overlaps(other) for other in taken)
            outside = (not ax.bbox.contains(*corner) for corner in (box.min, box.max))
            tried.append((hidden + sum(outside), text, box))
        best = min(tried, key=lambda one: one[0])
        for one in tried:
            if one is not best:
                one[1].remove()
        taken.append(best[2])


def _fix_layout(figure: Figure) -> None:
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        engine.execute(figure)  # which mends the first
        # no engine at all: with a placeholder every file would be drawn twice
        with plt.rc_context({'figure.constrained_layout.use': False}):
            figure.set_layout_engine(None)


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis by numbers; matplotlib's own labels are formulas."""
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def slug(name: str) -> str:
    """Make a file name of a model's name."""
    return re.sub(r'[^\w-]+', '-', name).strip('-')


@contextmanager
def saved_as(*kinds: str) -> Iterator[None]:
    """Have figures saved as these of :data:`KINDS` alone, meanwhile."""
    before = _kinds.set(kinds)
    try:
        yield
    finally:
        _kinds.reset(before)


def save(figure: Figure, stem: Path, kinds: Sequence[str] = ()) -> None:
    """Write ``stem.svg`` and ``stem.png``, the same bytes for the same figure.

    Args:
        figure: It is closed afterwards.
        stem: Path without suffix, whose folder is made if need be.
        kinds: Which files to write. Defaults to both, or those of :func:`saved_as`.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    with style():
        _fix_layout(figure)  # once for all kinds: it takes longest
        for kind in kinds or _kinds.get():
            date = {'Date': None} if kind == 'svg' else None
            figure.savefig(stem.with_name(f'{stem.name}.{kind}'), metadata=date)
    plt.close(figure)
