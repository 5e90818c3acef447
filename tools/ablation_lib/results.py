"""Turn finished runs into rows of numbers, Markdown and CSV."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmvitkd.reporting.significance import LEVEL, within_noise
from mmvitkd.utils.tables import write_rows

from .runs import failure, result
from .tables import Cell, Run, Setting, Table


@dataclass
class Measured:
    """What the seeds of a setting gave; percentages, and nats for ``nll``."""

    seeds: list[int] = field(default_factory=list)
    top1: list[float] = field(default_factory=list)
    top5: list[float] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)
    teacher: list[float] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)


@dataclass
class Line:
    """One line of a table as it is printed."""

    cell: Cell
    measured: Measured
    baseline: Measured
    seconds: float | None = None  # of an epoch, where the table times it
    ratio: tuple[float, float, float] | None = None  # median, quartiles

    @property
    def is_baseline(self) -> bool:
        return self.cell.setting is not None and self.cell.setting == self.cell.baseline

    @property
    def difference(self) -> float | None:
        """Mean top-1 against that of the same student alone, in points."""
        if self.is_baseline or not (self.measured.top1 and self.baseline.top1):
            return None
        return statistics.mean(self.measured.top1) - statistics.mean(self.baseline.top1)

    @property
    def is_noise(self) -> bool | None:
        """Whether chance alone could make the difference; None with too few seeds."""
        if self.difference is None:
            return None
        return within_noise(self.measured.top1, self.baseline.top1)


def measure(setting: Setting, seeds: Iterable[int], root: Path) -> Measured:
    """Collect what is there; nothing is filled in."""
    found = Measured()
    for seed in seeds:
        run = Run(setting, seed, root)
        line = result(run)
        if line is None:
            reason = failure(run)
            if reason:
                found.failures[seed] = reason
            continue
        found.seeds.append(seed)
        for key in ('top1', 'top5', 'nll'):
            if line[key] is not None:
                getattr(found, key).append(line[key])
        if run.teacher is not None:
            found.teacher.append(result(run.teacher)['top1'])
    return found


def made_by(runs: Iterable[Run]) -> str:
    """Tell when and by what the finished ones of these runs were done."""
    found = [line for line in map(result, runs) if line]
    facts = (
        {line['date'] for line in found},
        {line['device'] for line in found},
        {f'{key} {value}' for line in found for key, value in line['versions'].items()},
    )
    told = '; '.join(', '.join(sorted(values)) for values in facts)
    return told if found else 'nothing is run yet'


def lines(table: Table, seeds: int, baseline_seeds: int, root: Path) -> list[Line]:
    """Measure every cell of a table; of the students alone, more seeds."""

    def measured(setting: Setting | None) -> Measured:
        if setting is None:
            return Measured()
        alone = setting in {cell.baseline for cell in table.cells}
        return measure(setting, range(baseline_seeds if alone else seeds), root)

    return [
        Line(cell, measured(cell.setting), measured(cell.baseline))
        for cell in table.cells
    ]


def spread(values: list[float], digits: int = 1) -> str:
    """Write mean and standard deviation."""
    if not values:
        return '-'
    text = f'{statistics.mean(values):.{digits}f}'
    if len(values) > 1:
        text += f' ± {statistics.stdev(values):.{digits}f}'
    return text


def _value(line: Line) -> str:
    if line.cell.absent:
        return line.cell.absent
    text = spread(line.measured.top1)
    for seed, reason in line.measured.failures.items():
        text += f' (seed {seed} failed: {reason})'
    return text.replace('|', '/')


def _difference(line: Line) -> str:
    if line.difference is None:
        return ''
    mark = {True: ' (noise)', False: '', None: ' (one seed)'}[line.is_noise]
    return f'{line.difference:+.1f}{mark}'


def timed_reference(cells: list[Cell]) -> Cell:
    """Return the cell that times are compared with: the first that the paper timed."""
    filled = [cell for cell in cells if cell.setting]
    return next((cell for cell in filled if cell.paper_minutes), filled[0])


def paper_difference(line: Line, all_lines: Iterable[Line]) -> float | None:
    """Return the paper's gain over its own baseline, in points."""
    if line.cell.paper is None or line.is_baseline:
        return None
    for other in all_lines:
        same = other.is_baseline and other.cell.baseline == line.cell.baseline
        if same and other.cell.paper is not None:
            return line.cell.paper - other.cell.paper
    return None


def agreement(line: Line, all_lines: list[Line]) -> str:
    """Say whether ours and the paper's difference point the same way."""
    theirs = paper_difference(line, all_lines)
    if line.difference is None or theirs is None:
        return ''
    if line.is_noise is not False:
        return 'not told apart'
    return 'yes' if line.difference * theirs > 0 else '**no**'


def _columns(all_lines: list[Line]) -> dict[str, list[str]]:
    """Lay a table out: heading to one text a line."""
    columns = {'row': [line.cell.row for line in all_lines]}
    if any(line.cell.column for line in all_lines):
        columns['column'] = [line.cell.column for line in all_lines]
    columns['top-1'] = [_value(line) for line in all_lines]
    columns['to baseline'] = [_difference(line) for line in all_lines]
    columns['seeds'] = [str(len(line.measured.top1)) for line in all_lines]
    if any(line.cell.paper_top5 for line in all_lines):
        columns['top-5'] = [spread(line.measured.top5) for line in all_lines]
    columns['NLL'] = [spread(line.measured.nll, 2) for line in all_lines]
    if any(len(set(line.measured.teacher)) > 1 for line in all_lines):
        columns['teacher'] = [spread(line.measured.teacher) for line in all_lines]
    if any(line.seconds for line in all_lines):
        columns['s an epoch, one process'] = [
            f'{line.seconds:.2f}' if line.seconds else '-' for line in all_lines
        ]
        columns[f'a step, to {timed_reference([x.cell for x in all_lines]).row}'] = [
            '{:.2f} ({:.2f} to {:.2f})'.format(*line.ratio) if line.ratio else '-'
            for line in all_lines
        ]
    return {**columns, **_paper_columns(all_lines)}


def _paper_columns(all_lines: list[Line]) -> dict[str, list[str]]:
    if all(line.cell.paper is None for line in all_lines):
        return {}

    def text(value: float | None, form: str = '.2f') -> str:
        return '' if value is None else format(value, form)

    columns = {'paper': [text(line.cell.paper) for line in all_lines]}
    columns['paper, to baseline'] = [
        text(paper_difference(line, all_lines), '+.2f') for line in all_lines
    ]
    if any(line.cell.paper_top5 for line in all_lines):
        columns['paper, top-5'] = [text(line.cell.paper_top5) for line in all_lines]
    if any(line.cell.paper_minutes for line in all_lines):
        columns['paper, minutes an epoch'] = [
            text(line.cell.paper_minutes, '.1f') for line in all_lines
        ]
    columns['same direction'] = [agreement(line, all_lines) for line in all_lines]
    return columns


def markdown(table: Table, all_lines: list[Line], facts: list[str]) -> str:
    """Write a table as a page of Markdown."""
    columns = _columns(all_lines)
    rows = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    rows += [
        '| ' + ' | '.join(row) + ' |' for row in zip(*columns.values(), strict=True)
    ]
    return '\n'.join(
        [
            f'# {table.title}',
            '',
            *facts,
            '',
            *rows,
            '',
            'Mean ± standard deviation over the seeds. "noise": the difference to the '
            "same student alone is one that Welch's t-test does not tell from chance "
            f'at the {LEVEL:.0%} level. A dash is a cell that was not measured.',
            '',
            f'![{table.title}]({table.name}.svg)',
            '',
        ]
    )


def write_csv(path: Path, all_lines: list[Line]) -> None:
    """Write every number, those of single seeds included."""
    rows: list[list] = [
        ['row', 'column', 'mean', 'stdev', 'seeds', 'baseline_mean', 'difference',
         'within_noise', 'top5_mean', 'nll_mean', 'teacher_mean', 'paper',
         'paper_difference', 'paper_top5', 'seconds_an_epoch', 'ratio',
         'paper_minutes', 'values', 'failures']
    ]  # fmt: skip
    for line in all_lines:
        ours = line.measured
        rows.append(
            _rounded(
                [
                    line.cell.row,
                    line.cell.column,
                    _mean(ours.top1),
                    statistics.stdev(ours.top1) if len(ours.top1) > 1 else None,
                    len(ours.top1),
                    _mean(line.baseline.top1),
                    line.difference,
                    line.is_noise,
                    _mean(ours.top5),
                    _mean(ours.nll),
                    _mean(ours.teacher),
                    line.cell.paper,
                    paper_difference(line, all_lines),
                    line.cell.paper_top5,
                    line.seconds,
                    line.ratio[0] if line.ratio else None,
                    line.cell.paper_minutes,
                    ' '.join(f'{v:.2f}' for v in ours.top1),
                    line.cell.absent or '; '.join(ours.failures.values()),
                ]
            )
        )
    with path.open('w', newline='', encoding='utf-8') as file:
        write_rows(file, rows)


def _mean(values: list[float]) -> float | None:
    return statistics.mean(values) if values else None


def _rounded(row: list) -> list:
    return [round(v, 4) if isinstance(v, float) else v for v in row]
