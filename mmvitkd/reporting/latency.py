"""Accuracy against latency, of what ``python -m mmvitkd latency`` has timed."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from mmvitkd.inspection.style import GREY, colour, plain_numbers, save, style

from .groups import TOP1, Group
from .page import Block, Cell, Csv, Figure, Section, Table, Text

FILE = 'latency.csv'
SIZE = (6.4, 3.4)
Points = Mapping[str, tuple[float, Sequence[float]]]  # by model: accuracy, its times


@dataclass(frozen=True)
class Timed:
    """A model as one runtime runs it, in the units of the table."""

    model: str
    runtime: str
    dtype: str
    case: str  # of which size of a batch, by how many threads
    numbers: dict[str, float]  # by the table's heading
    accuracy: float | None

    @property
    def milliseconds(self) -> float:
        """Median of a batch."""
        return self.numbers['p50, ms']


# of the file's columns: the table's heading, and what a unit of it is
COLUMNS = {
    'p50_seconds': ('p50, ms', 1e-3),
    'p95_seconds': ('p95, ms', 1e-3),
    'images_per_second': ('images/s', 1.0),
    'ratio': ('to the first', 1.0),
    'memory_bytes': ('memory, MB', 1e6),
    'disk_bytes': ('on disk, MB', 1e6),
}


def find(work_dirs: Sequence[Path]) -> list[Path]:
    """List the files in work dirs, and in folders ``latency`` there."""
    places = [folder / sub / FILE for folder in work_dirs for sub in ('', 'latency')]
    return [file for file in places if file.is_file()]


def read(file: Path, groups: Sequence[Group], metric: str) -> list[Timed]:
    """Read what was timed.

    Args:
        file: A ``latency.csv``.
        groups: A checkpoint of theirs has their name, and the mean of their last
            validations; others have what the file says of them.
        metric: Of the validations.

    Raises:
        ValueError: If it is no such file.
    """
    try:
        with file.open(encoding='utf-8', newline='') as lines:
            found = [_timed(row, groups, metric) for row in csv.DictReader(lines)]
    except (KeyError, TypeError, ValueError, csv.Error, OSError) as error:
        found, why = [], f'{type(error).__name__}: {error}'
    else:
        why = 'it is empty'
    if not found:
        raise ValueError(
            f"'{file}' is no {FILE} that `python -m mmvitkd latency` writes ({why})"
        )
    return found


def _timed(row: Mapping[str, str], groups: Sequence[Group], metric: str) -> Timed:
    file = Path(row['file'])
    numbers = {
        heading: _number(row[key]) / unit for key, (heading, unit) in COLUMNS.items()
    }
    known = metric == TOP1 and row['accuracy']
    name, accuracy = row['model'], _number(row['accuracy']) if known else None
    # a file that was exported may be of other accuracy, such as one in INT8
    if file.suffix == '.pth' and (group := _group_of(file, groups)):
        finals = group.finals(metric)
        name = group.name
        accuracy = sum(finals) / len(finals) if finals else accuracy
    dtype = '' if file.suffix == '.onnx' else row['dtype']  # its own
    case = title(int(row['batch_size']), int(row['threads']), row['device'])
    return Timed(name, row['runtime'], dtype, case, numbers, accuracy)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{text} is no number')
    return value


def _group_of(checkpoint: Path, groups: Sequence[Group]) -> Group | None:
    """Find whose checkpoint it is, also where work dirs were moved together."""
    parts = checkpoint.resolve().parent.parts
    for length in (len(parts), 2):
        for group in groups:
            folders = [run.folder.resolve().parts[-length:] for run in group.runs]
            if parts[-length:] in folders:
                return group
    return None


def title(batch_size: int, threads: int, device: str) -> str:
    """Name what was timed in words."""
    images = 'one image' if batch_size == 1 else f'{batch_size} images'
    count = 'one thread' if threads == 1 else f'{threads} threads'
    return f'{images}, {count if device == "cpu" else device}'


def latency(
    files: Mapping[Path, list[Timed] | str], metric: str, folder: Path
) -> list[Section]:
    """Lay out what was timed.

    Args:
        files: What was read of each, or why it could not be.
        metric: Of the accuracies.
        folder: Of the figures.

    Returns:
        One section, or none where there is no file.
    """
    section = Section('Latency', heading='Accuracy and latency')
    for number, found in enumerate(files.values(), 1):
        name = 'latency' if number == 1 else f'latency-{number}'
        if isinstance(found, str):
            section.blocks.append(Text(found, warning=True))
            continue
        section.blocks += [
            *_figure(found, metric, folder / name),
            _table(found, metric, name),
        ]
    return [section] if section.blocks else []


def _figure(found: Sequence[Timed], metric: str, stem: Path) -> list[Block]:
    """Draw the first case, where the accuracies of two models are known."""
    known = [
        one for one in found if one.case == found[0].case and one.accuracy is not None
    ]
    points = {
        one.model: (
            one.accuracy or 0.0,
            [other.milliseconds for other in known if other.model == one.model],
        )
        for one in known
    }
    if len(points) < 2:
        return []
    with style():
        figure, axes = plt.subplots(figsize=SIZE)
        draw_accuracies(axes, points)
        axes.set(xlabel=f'ms: {found[0].case}', ylabel=metric)
        save(figure, stem)
    caption = f'{metric} against the milliseconds of {found[0].case}.'
    rows = [
        [one.model, one.runtime, one.dtype, one.milliseconds, one.accuracy]
        for one in known
    ]
    header = ['model', 'by', 'in', 'ms', metric]
    return [
        Figure(
            f'{caption} A line joins the ways to run one model.',
            f'Of {", ".join(points)}: {caption}',
            stem.with_suffix('.svg'),
            Csv.of(f'{stem.name}-accuracy', [header, *rows]),
        )
    ]


def draw_accuracies(axes: Axes, points: Points) -> None:
    """Draw accuracies against milliseconds, the ways to run one model joined."""
    for i, (name, (accuracy, times)) in enumerate(points.items()):
        level = [accuracy] * len(times)
        axes.plot(times, level, '-', color=GREY, lw=0.8)
        axes.plot(times, level, 'o', color=colour(i), label=name)
    axes.set_xscale('log')
    plain_numbers(axes.xaxis)
    axes.grid()
    axes.legend()


def _table(found: Sequence[Timed], metric: str, name: str) -> Table:
    headings = [heading for heading, _ in COLUMNS.values()]
    rows = [
        [
            *(Cell(text) for text in (one.model, one.runtime, one.dtype, one.case)),
            *(Cell(f'{value:.3g}', value) for value in one.numbers.values()),
            Cell('')
            if one.accuracy is None
            else Cell(f'{one.accuracy:.1f}', one.accuracy),
        ]
        for one in found
    ]
    return Table(
        name,
        'What a batch takes, from images of 8 bits to the outputs; the models in turn.',
        ['model', 'by', 'in', 'of', *headings, metric],
        rows,
        frozenset((*headings, metric)),
    )
