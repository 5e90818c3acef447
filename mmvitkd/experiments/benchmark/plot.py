"""Draw a benchmark: times to the reference, and images a second over the cases."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from .report import Record, summary

# of Okabe and Ito, told apart by the colour-blind
COLOURS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9']


def draw(results: Record, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``."""
    cases = results['cases']
    names = list(dict.fromkeys(name for case in cases for name in case['times']))
    panels = 2 if len(cases) > 1 else 1
    figure, axes = plt.subplots(
        1,
        panels,
        figsize=(6 * panels, 1.6 + max(0.34 * len(names), 0.17 * len(cases))),
        squeeze=False,
        layout='constrained',
    )
    _steps(axes[0][0], cases[0], names)
    if panels == 2:
        _cases(axes[0][1], cases, names)
    plt.rcParams['svg.hashsalt'] = stem.name  # the same file from the same numbers
    for suffix in ('svg', 'png'):
        date = {'Date': None} if suffix == 'svg' else None
        figure.savefig(stem.with_suffix(f'.{suffix}'), dpi=110, metadata=date)
    plt.close(figure)


def _steps(axes: Axes, case: Record, names: list[str]) -> None:
    """Draw every variant's step as a bar from quartile to quartile."""
    for y, name in enumerate(names):
        if name not in case['times']:
            continue
        found = summary(case, name)
        low, median, high = (1000 * value for value in found['seconds'])
        axes.barh(y, median, color=COLOURS[0] if name == 'config' else '#999999')
        axes.plot([low, high], [y, y], color='black', lw=1.5)
        ratio = found['to_sum']
        if ratio is not None:
            axes.text(high, y, f' {ratio.median:.2f}', va='center', fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel('ms a step; the number is to student + teacher')
    axes.set_title(case['title'], fontsize=9)
    _finish(axes)


def _cases(axes: Axes, cases: list[Record], names: list[str]) -> None:
    """Draw images a second of what is of interest over all cases."""
    shown = [n for n in ('student', 'teacher', 'released', 'config') if n in names]
    for colour, name in zip(COLOURS, shown, strict=False):
        places = [i for i, case in enumerate(cases) if name in case['times']]
        speeds = [summary(cases[i], name)['images_per_second'] for i in places]
        axes.plot(speeds, places, 'o-', color=colour, label=name)
    axes.set_yticks(range(len(cases)), [case['title'] for case in cases], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale('log')
    axes.set_xlabel('images a second')
    axes.legend(frameon=False, fontsize=8)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.grid(axis='x', alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
