"""Write a comparison: its tables, and what they say for certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmvitkd.utils.statistics import LEVEL, Difference

from ..results import (
    Measured,
    Spread,
    difference_columns,
    difference_record,
    difference_with_p,
    markdown_table,
    statistics_legend,
    value_record,
    write_page,
)
from . import beyond
from .methods import Comparison
from .plan import Row

Columns = dict[str, list[str]]  # heading to one text a row


def times(factor: float) -> str:
    """Write a factor as people do."""
    return f'1/{1 / factor:g}' if factor < 1 else f'{factor:g}'


def _top1(row: Row) -> str:
    if row.factor is None and row.failures:
        return f'- (tuning failed: {row.failures[0]})'
    return row.test.text()


def _factor(row: Row) -> str:
    if row.factor is None or not row.validated:
        return '-'
    return times(row.factor) + (' (end)' if row.at_the_end else '')


def _ratio(row: Row) -> str:
    if 'ratio' not in row.costs:
        return '-'
    return Spread(*row.costs['ratio']).text()


def _memory(row: Row) -> str:
    return f'{row.costs["memory"] / 1e6:.0f}' if 'memory' in row.costs else '-'


def main_columns(rows: Sequence[Row], comparison: Comparison) -> Columns:
    """Lay out accuracies, factors and costs."""
    return {
        'method': [row.name for row in rows],
        'teacher': [row.method.taught_by for row in rows],
        'top-1': [_top1(row) for row in rows],
        **{
            f'vs. {head}': [
                difference_with_p(row.differences.get(name)) for row in rows
            ]
            for head, name in comparison.references.items()
        },
        'seeds': [str(len(row.test.top1)) for row in rows],
        'factor': [_factor(row) for row in rows],
        f'a step, relative to {comparison.timed_against}': [_ratio(r) for r in rows],
        'memory, MB': [_memory(row) for row in rows],
    }


def significance(rows: Iterable[Row], reference: str) -> dict[str, list[Row]]:
    """Sort the methods by what the test says of them against a reference."""
    found: dict[str, list[Row]] = {kind: [] for kind in TEMPLATES}
    for row in rows:
        difference = row.differences.get(reference)
        if difference is None:
            continue
        kind = 'above' if difference.value > 0 else 'below'
        if not difference.significant:
            kind = 'untested' if difference.significant is None else 'neither'
        found[kind].append(row)
    return found


TEMPLATES = {
    'above': 'Significantly above {}',
    'neither': 'Not significantly different from {}{}',
    'below': 'Significantly below {}',
    'untested': 'Not tested against {}, as one seed is too few',
}


def _detectable(differences: Iterable[Difference]) -> str:
    """Name the smallest difference that would have been found, or their range."""
    values = [one.detectable for one in differences if one.detectable is not None]
    ends = dict.fromkeys(f'{end:.1f}' for end in (min(values), max(values)))
    return f' (smallest detectable difference: {" to ".join(ends)} points)'


def summary(rows: Sequence[Row], comparison: Comparison) -> list[str]:
    """Say in words what is certain."""
    to_beat = comparison.to_beat
    kinds = significance([row for row in rows if row.method.tuned], to_beat)
    tested = sum(len(found) for kind, found in kinds.items() if kind != 'untested')
    lines = []
    if tested:
        above = len(kinds['above'])
        lines += [f'- {above} of {tested} methods are significantly above {to_beat}.']
    for name in reversed(comparison.references.values()):
        for kind, found in significance(rows, name).items():
            differences = [row.differences[name] for row in found]
            if found:
                note = _detectable(differences) if kind == 'neither' else ''
                each = ', '.join(
                    f'{r.name} ({r.differences[name].value:+.1f})' for r in found
                )
                lines.append(f'- {TEMPLATES[kind].format(name, note)}: {each}.')
    ends = [row.name for row in rows if row.at_the_end]
    if ends:
        lines.append(
            '- The factor lies at an end of the range, so that one beyond it might be '
            f'better, of: {", ".join(ends)}.'
        )
    return lines


def students_columns(rows: Sequence[Row], comparison: Comparison) -> Columns:
    """Lay out the students that are not the baseline's, beside the one that is."""
    usual = comparison.methods[comparison.baseline].student
    others = [row for row in rows if row.costs and row.method.student != usual]
    if not others:
        return {}
    some = [row for row in rows if row.costs and row.name == comparison.baseline]
    some += others
    return {
        'student of': [row.name for row in some],
        'what is its own': [_own_student(row) for row in some],
        'parameters': [f'{row.costs["parameters"]:,}' for row in some],
        'multiply-adds an image': [
            f'{row.costs["multiply_adds"] / 1e6:.2f} M' for row in some
        ],
    }


def _own_student(row: Row) -> str:
    found = [why for key, why in row.method.differs.items() if _is_students(key)]
    return found[0] if len(found) == 1 else 'see above' if found else ''


def _is_students(key: str) -> bool:
    return key == 'model.student' or key.startswith('model.student.')


def tried(rows: Iterable[Row]) -> list[float]:
    """List the factors that were tried, by any of the methods."""
    return sorted({factor for row in rows for factor in row.validated})


def tuning_columns(rows: Sequence[Row]) -> Columns:
    """Lay out the validation split's accuracies."""
    tuned = [row for row in rows if row.method.tuned]
    return {
        'method': [row.name for row in tuned],
        **{
            f'x {times(factor)}': [
                row.validated[factor].text() if factor in row.validated else ''
                for row in tuned
            ]
            for factor in tried(tuned)
        },
        'weights at x 1': [row.method.weights for row in tuned],
        'terms with it': [_tuned(row) for row in tuned],
    }


def _tuned(row: Row) -> str:
    terms = row.method.cfg.model.terms
    left = [name for name in terms if name not in row.method.tuned]
    return f'all but {", ".join(left)}' if left else 'all'


def _statistics(rows: Sequence[Row], comparison: Comparison) -> list[str]:
    """Lay out every test, a table for each reference."""
    parts = []
    for head, name in comparison.references.items():
        some = [row for row in rows if name in row.differences]
        if some:
            columns = {'method': [row.name for row in some]}
            found = [row.differences[name] for row in some]
            parts.append(markdown_table(columns | difference_columns(found, head)))
    return parts


def write(
    comparison: Comparison,
    rows: Sequence[Row],
    facts: Sequence[str | None],
    page: Path,
    with_costs: bool = False,
) -> None:
    """Write a comparison.

    Args:
        comparison: The methods' file.
        rows: In its order.
        facts: Paragraphs on what made the page.
        page: The Markdown file.
        with_costs: Whether there is a figure of accuracy against costs. Defaults to
            False.
    """
    columns = main_columns(rows, comparison)
    differences = beyond.compare(rows, comparison)
    others = beyond.columns(rows, differences)
    excluded = [f'- `{name}`: {why}.' for name, why in comparison.excluded.items()]
    parts = [
        f'# {comparison.title}',
        *facts,
        markdown_table(columns),
        _legend(rows, comparison.baseline),
        f'![{comparison.title}]({page.stem}.svg)',
        f'![Accuracy and cost]({page.stem}-costs.svg)' if with_costs else '',
        '## In words',
        '\n'.join(summary(rows, comparison)) or 'Nothing is certain yet.',
        '## Beyond accuracy' if others else '',
        markdown_table(others),
        beyond.LEGEND if others else '',
        markdown_table(beyond.corruption_columns(rows)),
        '## What is not equal',
        f'All have the training of {comparison.baseline}, but for:',
        '\n'.join(_differences(rows)) or '- nothing.',
        markdown_table(students_columns(rows, comparison)),
        '## Statistics',
        *_statistics(rows, comparison),
        statistics_legend(d for row in rows for d in row.differences.values()),
        '## Tuning',
        'Top-1 on the validation split, mean ± standard deviation over the seeds. '
        f'{comparison.without_factor}',
        markdown_table(tuning_columns(rows)),
        '## Not compared' if excluded else '',
        '\n'.join(excluded),
    ]
    factors = tried(rows)
    more = beyond.records(rows, differences)
    records = [
        record(row, comparison, factors) | own
        for row, own in zip(rows, more, strict=True)
    ]
    write_page(page, parts, records, columns)


def _legend(rows: Sequence[Row], baseline: str) -> str:
    cpu_time = any(row.costs.get('cpu_time') for row in rows)
    clock = "the process's CPU seconds" if cpu_time else 'seconds'
    return (
        'Top-1 on the test split: mean ± standard deviation over the seeds. The '
        f'baseline is {baseline}. Bold: a significant difference, p below {LEVEL:g}, '
        'adjusted for the number of methods. "factor": what the weights of the terms '
        'are multiplied by, chosen on the validation split; "end": it lies at an end '
        'of the range. A step: the median, and quartiles, of quotients within a round '
        f'that runs a step of each on the same images, in {clock}. Memory: the peak of '
        'a few steps, beyond that of the imports; on a CPU it is resident memory. A '
        'dash was not measured.'
    )


def _differences(rows: Sequence[Row]) -> list[str]:
    """List how trainings differ; what students are called is in a table of its own."""
    return [
        f'- {row.name}: {why}.'
        for row in rows
        for key, why in row.method.differs.items()
        if key != 'model.student'
    ]


def record(
    row: Row, comparison: Comparison, factors: Sequence[float]
) -> dict[str, Any]:
    """Return every number of a row, those of single seeds included."""
    low, middle, high = row.costs.get('ratio', (None, None, None))
    loop = row.method.cfg.train_cfg
    validated = {
        f'validated_x{factor:g}': row.validated.get(factor, Measured()).mean()
        for factor in factors
    }
    return {
        'method': row.name,
        'teacher': row.method.taught_by,
        'epochs': loop.get('max_epochs'),
        **value_record(row.test),
        **difference_record(row.differences.get(comparison.baseline), 'baseline'),
        **difference_record(row.differences.get(comparison.to_beat), 'to_beat'),
        'factor': row.factor,
        'factor_at_the_end': row.at_the_end,
        **validated,
        'step_ratio': middle,
        'step_ratio_low': low,
        'step_ratio_high': high,
        **{
            key: row.costs.get(key)
            for key in ('seconds', 'memory', 'parameters', 'multiply_adds')
        },
        'failures': '; '.join(row.failures),
    }
