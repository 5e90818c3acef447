"""One look for every figure of the analysis and the report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

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
# of numbers on coloured cells: as the cells, the same on every page
ON_DARK, ON_BRIGHT = '#fefefe', '#010101'
# its lightness grows evenly, so it also reads in grey and to the colour-blind
SEQUENTIAL = 'viridis'

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


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis by numbers; matplotlib's own labels are formulas."""
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def slug(name: str) -> str:
    """Make a file name of a model's name."""
    return re.sub(r'[^\w-]+', '-', name).strip('-')


def save(figure: Figure, stem: Path, kinds: Sequence[str] = KINDS) -> None:
    """Write ``stem.svg`` and ``stem.png``, the same bytes for the same figure.

    Args:
        figure: It is closed afterwards.
        stem: Path without suffix, whose folder is made if need be.
        kinds: Which files to write. Defaults to both.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    with style():
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            engine.execute(figure)  # which mends the first
            figure.set_layout_engine('none')  # once for all kinds: it takes longest
        for kind in kinds:
            date = {'Date': None} if kind == 'svg' else None
            figure.savefig(stem.with_name(f'{stem.name}.{kind}'), metadata=date)
    plt.close(figure)
