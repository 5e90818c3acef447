"""Draw a benchmark: times to the reference, and images a second over the cases."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, colour, plain_numbers, save, style

from .report import Record, summary


def draw(results: Record, stem: Path) -> None:
    """Write ``stem.svg`` and ``stem.png``."""
    cases = results['cases']
    names = list(dict.fromkeys(name for case in cases for name in case['times']))
    panels = 2 if len(cases) > 1 else 1
    height = 1.6 + max(0.34 * len(names), 0.17 * len(cases))
    with style():
        figure, axes = plt.subplots(
            1, panels, figsize=(6 * panels, height), squeeze=False
        )
        _steps(axes[0][0], cases[0], names)
        if panels == 2:
            _cases(axes[0][1], cases, names)
        save(figure, stem)


def _steps(axes: Axes, case: Record, names: list[str]) -> None:
    """Draw every variant's step as a bar from quartile to quartile."""
    for y, name in enumerate(names):
        if name not in case['times']:
            continue
        found = summary(case, name)
        low, median, high = (1000 * value for value in found['seconds'])
        axes.barh(y, median, color=colour(2) if name == 'config' else GREY, alpha=0.8)
        axes.plot([low, high], [y, y], color='black', lw=1.5)
        ratio = found['to_sum']
        if ratio is not None:
            axes.text(high, y, f' {ratio.median:.2f}', va='center')
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel('ms a step; the number is to student + teacher')
    axes.set_title(case['title'])
    axes.grid(axis='x')


def _cases(axes: Axes, cases: list[Record], names: list[str]) -> None:
    """Draw images a second of what is of interest over all cases."""
    compared = [n for n in ('student', 'teacher', 'released', 'config') if n in names]
    for i, name in enumerate(compared):
        places = [j for j, case in enumerate(cases) if name in case['times']]
        speeds = [summary(cases[j], name)['images_per_second'] for j in places]
        axes.plot(speeds, places, 'o-', color=colour(i), label=name)
    axes.set_yticks(range(len(cases)), [case['title'] for case in cases])
    axes.invert_yaxis()
    axes.set_xscale('log')
    plain_numbers(axes.xaxis)
    axes.set_xlabel('images a second')
    axes.legend()
    axes.grid(axis='x')
