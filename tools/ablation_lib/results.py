"""Turn finished runs into rows of numbers, Markdown and CSV."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scipy.stats import ttest_1samp

from .runs import failure, result
from .tables import Cell, Run, Setting, Table

LEVEL = 0.05  # of the t-test: above it, a difference is within the noise


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
    def differences(self) -> list[float]:
        """Top-1 against the same student alone, in points, seed by seed.

        Runs of one seed begin with the same weights and see the same batches.
        """
        if self.is_baseline:
            return []
        alone = dict(zip(self.baseline.seeds, self.baseline.top1, strict=True))
        ours = zip(self.measured.seeds, self.measured.top1, strict=True)
        return [top1 - alone[seed] for seed, top1 in ours if seed in alone]

    @property
    def difference(self) -> float | None:
        """Their mean; None if there is none."""
        return statistics.mean(self.differences) if self.differences else None

    @property
    def is_noise(self) -> bool | None:
        """Whether chance alone could make the difference; None with too few seeds."""
        found = self.differences
        if len(found) < 2:
            return None
        if len({*found}) == 1:  # no spread to test with
            return found[0] == 0
        return bool(ttest_1samp(found, 0.0).pvalue >= LEVEL)


def measure(setting: Setting, seeds: int, root: Path) -> Measured:
    """Collect what is there; nothing is filled in."""
    found = Measured()
    for seed in range(seeds):
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


def lines(table: Table, seeds: int, root: Path) -> list[Line]:
    """Measure every cell of a table."""
    return [
        Line(
            cell,
            measure(cell.setting, seeds, root) if cell.setting else Measured(),
            measure(cell.baseline, seeds, root) if cell.baseline else Measured(),
        )
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
        columns['s an epoch'] = [
            f'{line.seconds:.2f}' if line.seconds else '-' for line in all_lines
        ]
        columns['ratio'] = [
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
            'Mean ± standard deviation over the seeds. "noise": a paired t-test over '
            'the seeds does not tell the difference to the same student alone from '
            f'chance at the {LEVEL:.0%} level. A dash is a cell that was not measured.',
            '',
            f'![{table.title}]({table.name}.svg)',
            '',
        ]
    )


def write_csv(path: Path, all_lines: list[Line]) -> None:
    """Write every number, those of single seeds included."""
    with path.open('w', newline='', encoding='utf-8') as file:
        out = csv.writer(file, lineterminator='\n')
        out.writerow(
            ['row', 'column', 'mean', 'stdev', 'seeds', 'baseline_mean', 'difference',
             'within_noise', 'top5_mean', 'nll_mean', 'teacher_mean', 'paper',
             'paper_difference', 'paper_top5', 'seconds_an_epoch', 'ratio',
             'paper_minutes', 'values', 'failures']
        )  # fmt: skip
        for line in all_lines:
            ours = line.measured
            out.writerow(
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


def _mean(values: list[float]) -> float | None:
    return statistics.mean(values) if values else None


def _rounded(row: list) -> list:
    return [round(v, 4) if isinstance(v, float) else v for v in row]
