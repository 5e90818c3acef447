"""What finished runs measured, and the tables that are made of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from mmvitkd.utils.statistics import (
    LEVEL,
    POWER,
    Difference,
    compare_paired,
    compare_with_baseline,
    format_mean,
)
from mmvitkd.utils.tables import write_rows

from .run import Run, Setting
from .runs_file import top1


@dataclass(frozen=True)
class Measured:
    """What the seeds of a setting gave."""

    # a row for each finished run: `seed`, what its test measured, as `test_classifier`
    # returns it, and `teacher`, the top-1 of its teacher
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: dict[int, str] = field(default_factory=dict)  # by seed, why a run failed

    def values(self, metric: str = 'top1') -> list[float]:
        """List the finished seeds' values of a metric."""
        known = metric in self.frame
        return self.frame[metric].dropna().astype(float).tolist() if known else []

    def by_seed(self, metric: str = 'top1') -> dict[int, float]:
        """Return the finished seeds' values of a metric by seed."""
        if metric not in self.frame:
            return {}
        known = self.frame.dropna(subset=[metric])
        return dict(zip(known['seed'], known[metric].astype(float), strict=True))

    @property
    def top1(self) -> list[float]:
        """The accuracies of the finished seeds, in percent."""
        return self.values()

    def mean(self, metric: str = 'top1') -> float | None:
        """Return the mean over the seeds, None without one."""
        values = self.values(metric)
        return mean(values) if values else None

    def text(self) -> str:
        """Write accuracy and spread, and why seeds failed."""
        failed = [
            f' (seed {seed} failed: {why})' for seed, why in self.failures.items()
        ]
        return format_mean(self.top1) + ''.join(failed)


class Spread(NamedTuple):
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    def text(self, digits: int = 2) -> str:
        """Write it as ``median (low to high)``."""
        low, median, high = (f'{value:.{digits}f}' for value in self)
        return f'{median} ({low} to {high})'


def measure(setting: Setting, seeds: Iterable[int], root: Path) -> Measured:
    """Collect what is there of a setting; nothing is filled in."""
    return collect(Run(setting, seed, root) for seed in seeds)


def collect(runs: Iterable[Run]) -> Measured:
    """Collect what is there of runs that differ in their seeds alone."""
    rows, failures = [], {}
    for run in runs:
        result = run.result()
        if result is None:
            if reason := run.failure():
                failures[run.seed] = reason
            continue
        teacher = top1(run).get('teacher')
        rows.append({'seed': run.seed, **result, 'teacher': teacher})
    return Measured(pd.DataFrame(rows), failures)


def compare_with(
    reference: str, measured: Mapping[str, Measured], paired: bool, metric: str = 'top1'
) -> dict[str, Difference]:
    """Compare what settings measured with one of them, as one family of tests.

    Args:
        reference: The name of the one.
        measured: By name.
        paired: Whether a seed makes all runs alike, and is taken out.
        metric: What is compared. Defaults to ``'top1'``.

    Returns:
        By name of the others.
    """
    others = {name: one for name, one in measured.items() if name != reference}
    if paired:
        by_seed = {name: one.by_seed(metric) for name, one in others.items()}
        return compare_paired(by_seed, measured[reference].by_seed(metric))
    values = {name: one.values(metric) for name, one in others.items()}
    return compare_with_baseline(values, measured[reference].values(metric))


def corruptions(measured: Iterable[Measured]) -> dict[str, str]:
    """Name the corruptions that any of these was tested under, by metric."""
    metrics = (name for one in measured for name in one.frame.columns)
    beginning = 'corrupted/'
    return {m: m.removeprefix(beginning) for m in metrics if m.startswith(beginning)}


def accuracy_text(run: Run) -> str:
    """Say what a finished run measured."""
    return f'{(run.result() or {})["top1"]:.1f}'


def made_by(runs: Iterable[Run]) -> str:
    """Tell when and by what the finished ones of these runs were done."""
    found = [line for line in (run.result() for run in runs) if line]
    facts = (
        {line['date'] for line in found},
        {line['device'] for line in found},
        {f'{key} {value}' for line in found for key, value in line['versions'].items()},
    )
    text = '; '.join(', '.join(sorted(values)) for values in facts)
    return text if found else 'nothing is run yet'


def teachers_line(runs: Iterable[Run]) -> str | None:
    """Tell the accuracy of the teachers that these runs have, of each machine's."""
    found: dict[str, set[str]] = {}
    for run in runs:
        accuracies = top1(run)
        for name, teacher in run.teachers.items():
            if name in accuracies:
                known = found.setdefault(teacher.setting.name, set())
                known.add(f'{accuracies[name]:.1f}')
    texts = [
        f'{name.removeprefix("teacher ")} {" and ".join(sorted(values))}'
        for name, values in sorted(found.items())
    ]
    return f'Top-1 of the teachers: {", ".join(texts)}.' if texts else None


# ---------------------------------------------------------------------------- columns


def difference_text(difference: Difference | None) -> str:
    """Write a difference in points, bold if it is significant."""
    if difference is None:
        return ''
    text = f'{difference.value:+.1f}'
    return f'**{text}**' if difference.significant else text


def difference_with_p(difference: Difference | None) -> str:
    """Write a difference in points, bold if it is significant, and its p-value."""
    text = difference_text(difference)
    if difference is None or difference.p is None:
        return text
    p = p_text(difference.p)
    return f'{text} (p {p})' if p.startswith('<') else f'{text} (p = {p})'


def difference_columns(
    differences: Sequence[Difference | None], to: str
) -> dict[str, list[str]]:
    """Lay differences out: heading to one text a row.

    Args:
        differences: One a row; None where there is none.
        to: What they are compared with, for the headings.
    """

    def column(text: Any) -> list[str]:
        return [
            '' if one is None or one.p is None else text(one) for one in differences
        ]

    return {
        f'vs. {to}': [difference_text(one) for one in differences],
        '95 % CI': column(lambda one: f'{one.low:+.1f} to {one.high:+.1f}'),
        'p': column(lambda one: p_text(one.p)),
        "Hedges' g": column(lambda one: number(one.effect)),
        'detectable': column(lambda one: f'{one.detectable:.1f}'),
    }


def p_text(p: float) -> str:
    """Write a p-value."""
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def number(value: float | None, form: str = '.1f', nothing: str = '-') -> str:
    """Write a number that may be missing or infinite."""
    if value is None or not math.isfinite(value):
        return nothing
    return format(value, form)


def difference_record(difference: Difference | None, to: str) -> dict[str, Any]:
    """Return a difference as cells of a CSV file."""
    one = difference or Difference(math.nan)
    return {
        f'minus_{to}': one.value,
        f'minus_{to}_low': one.low,
        f'minus_{to}_high': one.high,
        f'minus_{to}_p': one.p,
        f'minus_{to}_hedges_g': one.effect,
        f'minus_{to}_detectable': one.detectable,
        f'minus_{to}_significant': one.significant,
    }


def statistics_legend(differences: Iterable[Difference | None]) -> str:
    """Explain the columns of :func:`difference_columns`."""
    tests = sorted({one.test for one in differences if one and one.test})
    if not tests:
        return (
            'Mean ± standard deviation over the seeds. One seed tells nothing about '
            'chance: no difference was tested.'
        )
    return (
        'Mean ± standard deviation over the seeds. Differences are in points of the '
        f'mean; bold: significant at the {LEVEL:.0%} level by {" and ".join(tests)} '
        'against the baseline, over all rows that share it. CI: the simultaneous 95 % '
        f'confidence interval. Detectable: the difference that so many seeds show as '
        f'significant with a probability of {POWER:.0%}; a smaller one may exist and '
        'is not seen here.'
    )


# ------------------------------------------------------------------------------ tables


def markdown_table(columns: Mapping[str, Sequence[str]]) -> str:
    """Lay a table out in Markdown; without rows there is none."""
    rows = list(zip(*columns.values(), strict=True))
    cells = [[cell.replace('|', '/').replace('\n', ' ') for cell in r] for r in rows]
    text = tabulate(cells, [*columns], 'pipe', disable_numparse=True) if rows else ''
    # without the padding, which one long cell makes wider than any screen
    return re.sub(r'-{3,}', '---', re.sub(r' {2,}\|', ' |', text))


def latex_table(columns: Mapping[str, Sequence[str]]) -> str:
    """Lay a table out in LaTeX, for the package booktabs."""
    rows = list(zip(*columns.values(), strict=True))
    text = tabulate(rows, [*columns], 'latex_booktabs', disable_numparse=True)
    text = re.sub(r'\*\*(.+?)\*\*', r'\\textbf{\1}', text)
    return text.replace('±', r'$\pm$') + '\n'


def write_page(
    page: Path,
    parts: Iterable[str | None],
    records: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Sequence[str]] | None = None,
    stem: Path | None = None,
) -> None:
    """Write a page, every number as CSV, and its table for LaTeX; print where it is.

    Args:
        page: The Markdown file, whose folder is made if need be.
        parts: Its paragraphs; those that are empty are left out.
        records: The rows of the CSV file.
        columns: The table. Defaults to None: it is not written for LaTeX.
        stem: Of the other files' paths, without suffix. Defaults to that of the page.
    """
    stem = stem or page.with_suffix('')
    stem.parent.mkdir(parents=True, exist_ok=True)
    page.write_text('\n\n'.join(filter(None, parts)) + '\n', encoding='utf-8')
    write_records(stem.with_name(f'{stem.name}.csv'), records)
    if columns is not None:
        tex = stem.with_name(f'{stem.name}.tex')
        tex.write_text(latex_table(columns), encoding='utf-8')
    print(page)


def write_records(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file of every number, a row for each record."""
    # as objects, since whole numbers beside a missing one would become floats
    frame = pd.DataFrame([dict(record) for record in records], dtype=object)
    rows = frame.where(frame.notna(), None).to_numpy().tolist()
    rounded = [[round(v, 6) if isinstance(v, float) else v for v in r] for r in rows]
    with path.open('w', newline='', encoding='utf-8') as file:
        write_rows(file, [list(frame.columns), *rounded])


def value_record(
    measured: Measured, metric: str = 'top1', digits: int = 2
) -> dict[str, Any]:
    """Return the values of a metric as cells of a CSV file, single seeds included."""
    values = measured.values(metric)
    return {
        'mean': measured.mean(metric),
        'stdev': stdev(values) if len(values) > 1 else None,
        'seeds': len(values),
        'values': ' '.join(f'{value:.{digits}f}' for value in values),
        'failures': '; '.join(measured.failures.values()),
    }
