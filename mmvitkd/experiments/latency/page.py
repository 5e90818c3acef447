"""What was timed, as a page, CSV and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import colour, save, style
from mmvitkd.reporting.latency import draw_accuracies
from mmvitkd.reporting.latency import title as case_title

from ..results import markdown_table, write_page
from .measure import Latency

LEGEND = (
    'p50 and p95: of the milliseconds that a batch takes, from images of 8 bits to '
    'logits. To the first: the median, and quartiles, of quotients within a round, '
    'which runs each variant once. Memory: the peak of a process that loads the model '
    "and runs some batches; on a CPU beyond the libraries'. On disk: the file that is "
    'run, or the weights that PyTorch holds.'
)


def write(
    cases: Sequence[Sequence[Latency]],
    left_out: Mapping[str, str],
    facts: str,
    out: Path,
) -> None:
    """Write ``latency.md``, ``.csv``, ``.svg`` and ``.png``.

    Args:
        cases: What was measured, for each batch size and number of threads.
        left_out: Why variants did not run, by their names.
        facts: A paragraph on what made it.
        out: The folder.
    """
    parts = ['# Latency', facts]
    for case in cases:
        first = case[0].variant
        parts += [f'## {title(case)}', markdown_table(_columns(case))]
        parts.append(f'To the first, which is {first.name}.')
    parts += [LEGEND, '![Latency](latency.svg)']
    reasons = [f'- {name}: {why}.' for name, why in left_out.items()]
    parts += ['## Left out' if reasons else '', '\n'.join(reasons)]
    records = [_record(one) for case in cases for one in case]
    draw(cases, out / 'latency')
    write_page(out / 'latency.md', parts, records)


def title(case: Sequence[Latency]) -> str:
    """Name a case."""
    one = case[0].variant
    return case_title(one.batch_size, one.threads, one.device)


def _columns(case: Sequence[Latency]) -> dict[str, list[str]]:
    columns = {
        'model': [one.variant.source.name for one in case],
        'by': [one.variant.runtime for one in case],
        'in': [
            '-' if one.variant.source.is_graph else one.variant.dtype for one in case
        ],
        'p50, ms': [f'{1000 * one.p50:.2f}' for one in case],
        'p95, ms': [f'{1000 * one.p95:.2f}' for one in case],
        'images/s': [f'{one.images_per_second:.0f}' for one in case],
        'to the first': [one.ratio.text() for one in case],
        'memory, MB': [f'{one.memory / 1e6:.0f}' for one in case],
        'on disk, MB': [f'{one.size / 1e6:.2f}' for one in case],
    }
    accuracies = [one.variant.source.accuracy for one in case]
    if any(value is not None for value in accuracies):
        columns['accuracy'] = ['-' if v is None else f'{v:.2f}' for v in accuracies]
    return columns


def _record(one: Latency) -> dict[str, Any]:
    variant = one.variant
    return {
        'model': variant.source.name,
        'file': variant.source.path,
        'runtime': variant.runtime,
        'dtype': variant.dtype,
        'batch_size': variant.batch_size,
        'threads': variant.threads,
        'device': variant.device,
        'p50_seconds': one.p50,
        'p95_seconds': one.p95,
        'images_per_second': one.images_per_second,
        **dict(zip(('ratio_low', 'ratio', 'ratio_high'), one.ratio, strict=True)),
        'memory_bytes': one.memory,
        'disk_bytes': one.size,
        'accuracy': variant.source.accuracy,
    }


def draw(cases: Sequence[Sequence[Latency]], stem: Path) -> None:
    """Draw the first case's times, and accuracies against them where two are known."""
    case = cases[0]
    known = [one for one in case if one.variant.source.accuracy is not None]
    panels = 2 if len({one.variant.source for one in known}) > 1 else 1
    with style():
        height = max(1.6 + 0.34 * len(case), 3 if panels == 2 else 0)
        figure, axes = plt.subplots(
            1, panels, figsize=(6 * panels, height), squeeze=False
        )
        _times(axes[0][0], case)
        axes[0][0].set_title(title(case))
        if panels == 2:
            _accuracies(axes[0][1], known)
        stem.parent.mkdir(parents=True, exist_ok=True)
        save(figure, stem)


def _times(axes: Axes, case: Sequence[Latency]) -> None:
    for y, one in enumerate(case):
        axes.barh(y, 1000 * one.p50, color=colour(2), alpha=0.8)
        axes.plot([1000 * one.p50, 1000 * one.p95], [y, y], color='black', lw=1.5)
        axes.text(1000 * one.p95, y, f' {one.ratio.median:.2f}', va='center')
    axes.set_yticks(range(len(case)), [one.variant.name for one in case])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel('ms a batch, to p95; the number is to the first')
    axes.grid(axis='x')


def _accuracies(axes: Axes, known: Sequence[Latency]) -> None:
    sources = dict.fromkeys(one.variant.source for one in known)
    points = {
        source.name: (
            source.accuracy or 0.0,
            [1000 * one.p50 for one in known if one.variant.source == source],
        )
        for source in sources
    }
    draw_accuracies(axes, points)
    axes.set_xlabel('ms a batch')
    axes.set_ylabel('accuracy, %')
