"""Medians, quartiles and ratios of what was measured; tables in Markdown and CSV."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..results import Spread, markdown_table, number, write_records
from .measure import SECTIONS

Times = dict[str, list[float]]
Record = dict[str, Any]


def quartiles(values: list[float]) -> Spread:
    """Return the quartiles; of a single value, that."""
    if len(values) == 1:
        return Spread(*values * 3)
    return Spread(*statistics.quantiles(values, n=4, method='inclusive'))


def ratios(times: Times, name: str, to: tuple[str, ...]) -> Spread | None:
    """Compare a variant with others' sum, round by round, so that drift cancels."""
    if any(other not in times for other in to):
        return None
    sums = [sum(each) for each in zip(*(times[other] for other in to), strict=True)]
    pairs = zip(times[name], sums, strict=True)
    return quartiles([mine / theirs for mine, theirs in pairs])


def summary(case: Record, name: str) -> Record:
    """Sum up a variant: time, images a second, ratios, memory.

    ``to_sum`` is relative to a student's step plus the teacher's forward,
    ``to_student`` to the former alone, ``to_terms`` to a step whose teacher outputs
    cost nothing; the memory's ratio is relative to the student's training plus the
    teacher's weights.
    """
    times, memory = case['times'], case['memory']
    median = quartiles(times[name]).median
    peak = memory.get(name, {}).get('peak')
    student = memory.get('student', {}).get('peak')
    weights = memory.get(name, {}).get('teacher', 0)
    return {
        'seconds': quartiles(times[name]),
        'images_per_second': case['batch_size'] / median,
        'to_sum': ratios(times, name, ('student', 'teacher')),
        'to_student': ratios(times, name, ('student',)),
        'to_terms': ratios(times, name, ('terms',)),
        'to_config': ratios(times, name, ('config',)),
        'released_to_it': ratios(times, 'released', (name,))
        if 'released' in times
        else None,
        'peak_bytes': peak,
        'memory_ratio': peak / (student + weights) if peak and student else None,
    }


def _column(found: Iterable[Record], key: str, digits: int = 2) -> list[str]:
    """Lay out a number of several summaries."""
    values = [one[key] for one in found]
    return [
        value.text(digits)
        if isinstance(value, Spread)
        else number(value, f'.{digits}f', '')
        for value in values
    ]


def _times_table(case: Record) -> str:
    names = [*case['times']]
    found = [summary(case, name) for name in names]
    to = {'sum': 'student + teacher'}
    to |= {one: one for one in ('student', 'terms', 'config') if one in names}
    return markdown_table(
        {
            'variant': names,
            'what': [case['what'][name] for name in names],
            'ms a step': [
                Spread(*(1000 * s for s in one['seconds'])).text(0) for one in found
            ],
            'images/s': _column(found, 'images_per_second', 1),
            **{
                f'to {what}': _column(found, f'to_{one}', 3) for one, what in to.items()
            },
            'peak MB': [
                '' if one['peak_bytes'] is None else f'{one["peak_bytes"] / 2**20:.0f}'
                for one in found
            ],
            'memory ratio': _column(found, 'memory_ratio'),
        }
    )


def _overview(cases: list[Record]) -> str:
    """Lay out what each config as it is costs, one below the other."""
    found = [summary(case, 'config') for case in cases]
    columns = {
        'config': [case['title'] for case in cases],
        'images/s': _column(found, 'images_per_second', 1),
        'to student + teacher': _column(found, 'to_sum', 3),
        'to student': _column(found, 'to_student', 3),
    }
    if any(ratio := _column(found, 'memory_ratio')):  # else it was not measured
        columns['memory ratio'] = ratio
    return markdown_table(columns)


def _split_table(case: Record) -> str:
    split = case['split'].values()
    columns = {
        part: [f'{1000 * statistics.median(one[part]):.0f}' for one in split]
        for part in (*SECTIONS, 'other')
    }
    return markdown_table({'ms': [*case['split']], **columns})


def _processes_table(case: Record) -> str:
    times = case['processes']
    one = min(times, key=int)
    gains, images = [], []
    for count, seconds in times.items():
        share = int(count) / int(one)
        pairs = zip(times[one], seconds, strict=True)
        gains.append(quartiles([share * a / b for a, b in pairs]).text())
        images.append(int(count) * case['batch_size'] / quartiles(seconds).median)
    columns = {'processes': [*times], 'images/s': [f'{each:.1f}' for each in images]}
    return markdown_table({**columns, f'to {one}': gains})


def case_section(case: Record) -> list[str]:
    """Write the paragraphs of a case."""
    parts = [f'## {case["title"]}', f'{case["rounds"]} rounds.']
    if case['times']:
        parts.append(_times_table(case))
    parts += [f'Left out: {n}, {why}' for n, why in case['left_out'].items()]
    if case['split']:
        parts.append('Where the time goes, in rounds of their own:')
        parts.append(_split_table(case))
    if case['processes']:
        parts.append('Several processes, the same batch for each:')
        parts.append(_processes_table(case))
    return parts


def markdown(results: Record) -> str:
    """Write the page of a benchmark's results."""
    versions = ', '.join(f'{k} {v}' for k, v in sorted(results['versions'].items()))
    threads = f'threads a process: {results["threads"]}'
    precision = 'mixed precision' if results['amp'] else 'float32'
    clock = 'CPU time' if results['cpu_time'] else 'wall-clock time'
    parts = [
        '# Performance',
        f'`{results["command"]}`; {results["date"]}; {results["device"]}; {threads}; '
        f'{precision}; {clock}; {versions}.',
        'Medians, with the quartiles in brackets. Ratios are taken within a round, in '
        'which every variant runs a step. docs/benchmark.md says how to read it.',
    ]
    every = [case for case in results['cases'] if 'config' in case['times']]
    if len(every) > 1:
        parts.append(_overview(every))
    for case in results['cases']:
        parts += case_section(case)
    parts.append('![Performance](performance.svg)')
    if 'curves' in results:
        parts.append(f'![Cost of a step over what was varied]({results["curves"]})')
    return '\n\n'.join(parts) + '\n'


def write(results: Record, stem: Path) -> None:
    """Write ``stem.json``, ``stem.md`` and ``stem.csv``."""
    stem.with_suffix('.json').write_text(json.dumps(results, indent=1) + '\n')
    stem.with_suffix('.md').write_text(markdown(results), encoding='utf-8')
    records = [
        {'case': case['title'], 'variant': name, **_flat(summary(case, name))}
        for case in results['cases']
        for name in case['times']
    ]
    write_records(stem.with_suffix('.csv'), records)


FIELDS = [
    'seconds', 'seconds_low', 'seconds_high', 'images_per_second',
    'to_sum', 'to_sum_low', 'to_sum_high', 'to_student', 'to_terms', 'to_config',
    'released_to_it',
    'peak_bytes', 'memory_ratio',
]  # fmt: skip


def _flat(found: Record) -> Record:
    """Return a summary's numbers by ``FIELDS``."""
    flat = {}
    for field in FIELDS:
        name, _, end = field.rpartition('_')
        key, part = (name, end) if end in ('low', 'high') else (field, 'median')
        value = found[key]
        flat[field] = getattr(value, part) if isinstance(value, Spread) else value
    return flat
