"""Rows of a table: compared, and laid out as columns, a page and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmvitkd.utils.statistics import Difference, format_mean

from ..results import (
    Measured,
    Spread,
    compare_with,
    difference_columns,
    difference_record,
    markdown_table,
    measure,
    number,
    statistics_legend,
    value_record,
    write_page,
)
from ..run import Setting
from .tables import Cell, Table

# beyond accuracy, in percent, and its heading; a column where any row has it
BEYOND = {'ece': 'ECE', 'agreement': 'agreement', 'corrupted': 'corrupted'}


@dataclass(frozen=True)
class Row:
    """One row of a table as it is printed."""

    cell: Cell  # what fills it
    measured: Measured  # what its seeds gave
    baseline: Measured  # the same of the student alone
    difference: Difference | None = None  # of the two in top-1, where there is one
    seconds: float | None = None  # of an epoch, where the table times it
    ratio: Spread | None = None  # of a step to that of the first timed row

    @property
    def name(self) -> str:
        """Name it within the table."""
        cell = self.cell
        return f'{cell.row}, {cell.column}' if cell.column else cell.row

    @property
    def is_baseline(self) -> bool:
        """Whether it is what others are compared with."""
        return self.cell.setting is not None and self.cell.setting == self.cell.baseline


def rows_of(table: Table, seeds: int, baseline_seeds: int, root: Path) -> list[Row]:
    """Collect every cell of a table, compared with its baseline, of more seeds."""
    baselines = {cell.baseline for cell in table.cells}

    def measured(setting: Setting | None) -> Measured:
        if setting is None:
            return Measured()
        count = baseline_seeds if setting in baselines else seeds
        return measure(setting, range(count), root)

    rows = [
        Row(cell, measured(cell.setting), measured(cell.baseline))
        for cell in table.cells
    ]
    return compare(rows, table.paired)


def compare(rows: Sequence[Row], paired: bool = False) -> list[Row]:
    """Compare rows with their baselines; those of one baseline are a family.

    Args:
        rows: With what was measured.
        paired: Whether a seed makes a family's runs alike. Defaults to False.
    """
    found: dict[tuple[str, str], Difference] = {}
    for baseline in {
        row.cell.baseline.folder: row for row in rows if row.cell.baseline
    }:
        family = [row for row in rows if _key(row)[0] == baseline]
        # equal settings in several cells are one comparison
        groups = {_key(row)[1]: row.measured for row in family}
        groups[baseline] = family[0].baseline
        compared = compare_with(baseline, groups, paired)
        found |= {(baseline, name): one for name, one in compared.items()}
    return [replace(row, difference=found.get(_key(row))) for row in rows]


def _key(row: Row) -> tuple[str, str]:
    """Name a row's baseline and setting; empty where there is none."""
    both = (row.cell.baseline, row.cell.setting)
    baseline, setting = (one.folder if one else '' for one in both)
    return baseline, setting


def paper_difference(row: Row, rows: Sequence[Row]) -> float | None:
    """Return the paper's gain over its own baseline, in points."""
    if row.cell.paper is None or row.is_baseline:
        return None
    for other in rows:
        same = other.is_baseline and other.cell.baseline == row.cell.baseline
        if same and other.cell.paper is not None:
            return row.cell.paper - other.cell.paper
    return None


def agreement(row: Row, rows: Sequence[Row]) -> str:
    """Say whether our difference and the paper's point the same way."""
    theirs = paper_difference(row, rows)
    if row.difference is None or theirs is None:
        return ''
    if not row.difference.significant:
        return 'not significant'
    return 'yes' if row.difference.value * theirs > 0 else '**no**'


def timed_reference(cells: Sequence[Cell]) -> Cell:
    """Return the cell that times are compared with: the first that the paper timed."""
    filled = [cell for cell in cells if cell.setting]
    return next((cell for cell in filled if cell.paper_minutes), filled[0])


def columns_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Lay a table out: heading to one text a row."""
    columns = {'row': [row.cell.row for row in rows]}
    if any(row.cell.column for row in rows):
        columns['column'] = [row.cell.column for row in rows]
    columns['top-1'] = [row.cell.absent or row.measured.text() for row in rows]
    columns |= difference_columns([row.difference for row in rows], 'baseline')
    columns['seeds'] = [str(len(row.measured.top1)) for row in rows]
    if any(row.cell.paper_top5 for row in rows):
        columns['top-5'] = [format_mean(row.measured.values('top5')) for row in rows]
    columns['NLL'] = [format_mean(row.measured.values('nll'), 2) for row in rows]
    for metric, head in BEYOND.items():
        found = [row.measured.values(metric) for row in rows]
        if any(found):
            columns[head] = [format_mean(values) for values in found]
    if any(len({*row.measured.values('teacher')}) > 1 for row in rows):
        teachers = [format_mean(row.measured.values('teacher')) for row in rows]
        columns['teacher'] = teachers
    if any(row.seconds for row in rows):
        reference = timed_reference([row.cell for row in rows]).row
        columns['s an epoch, one process'] = [number(r.seconds, '.2f') for r in rows]
        ratios = [row.ratio.text() if row.ratio else '-' for row in rows]
        columns[f'a step, relative to {reference}'] = ratios
    return columns | _paper_columns(rows)


def _paper_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    if all(row.cell.paper is None for row in rows):
        return {}
    columns = {
        'paper': [number(row.cell.paper, '.2f', '') for row in rows],
        'paper, vs. baseline': [
            number(paper_difference(row, rows), '+.2f', '') for row in rows
        ],
    }
    if any(row.cell.paper_top5 for row in rows):
        top5 = [number(row.cell.paper_top5, '.2f', '') for row in rows]
        columns['paper, top-5'] = top5
    if any(row.cell.paper_minutes for row in rows):
        columns['paper, minutes an epoch'] = [
            number(row.cell.paper_minutes, '.1f', '') for row in rows
        ]
    columns['same direction'] = [agreement(row, rows) for row in rows]
    return columns


def record(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """Return every number of a row, those of single seeds included."""
    values = value_record(row.measured)
    return {
        'row': row.cell.row,
        'column': row.cell.column,
        **values,
        'failures': row.cell.absent or values['failures'],
        'baseline_mean': row.baseline.mean(),
        **difference_record(row.difference, 'baseline'),
        'top5_mean': row.measured.mean('top5'),
        'nll_mean': row.measured.mean('nll'),
        **{f'{metric}_mean': row.measured.mean(metric) for metric in BEYOND},
        'teacher_mean': row.measured.mean('teacher'),
        'paper': row.cell.paper,
        'paper_difference': paper_difference(row, rows),
        'paper_top5': row.cell.paper_top5,
        'seconds_an_epoch': row.seconds,
        'ratio': row.ratio.median if row.ratio else None,
        'paper_minutes': row.cell.paper_minutes,
    }


BEYOND_LEGEND = (
    ' In percent: ECE, the expected calibration error; agreement, of the test images '
    'for which student and teacher name the same class; corrupted, the mean of the '
    'top-1 accuracies under the corruptions.'
)


def write(
    table: Table, rows: Sequence[Row], facts: Sequence[str | None], page: Path
) -> None:
    """Write a table; facts are paragraphs on what made it."""
    columns = columns_of(rows)
    parts = [
        f'# {table.title}',
        *facts,
        markdown_table(columns),
        statistics_legend(row.difference for row in rows)
        + ' A dash is a cell that was not measured.'
        + BEYOND_LEGEND * any(head in columns for head in BEYOND.values()),
        f'![{table.title}]({table.name}.svg)',
    ]
    write_page(page, parts, [record(row, rows) for row in rows], columns)
