"""The page of a GPU's check: aims first, then every row, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ..benchmark.report import Record, case_section, summary
from ..results import markdown_table

WAITS = 'synchronisations'
# what a step may cost beside its two models, and what it should gain
AIMS = [
    ('config', 'ViTKD to student + teacher', 'to_sum', '<=', 1.10),
    ('kd', 'KD to student + teacher', 'to_sum', '<=', 1.02),
    ('nkd', 'NKD to student + teacher', 'to_sum', '<=', 1.02),
    ('config', "images/s to the released formulation's", 'released_to_it', '>=', 1.5),
    ('config', 'memory to student + teacher', 'memory_ratio', '<=', 1.15),
]


def write(record: Record, folder: Path) -> None:
    """Write ``gpu_check.json`` and ``gpu_check.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'gpu_check.json').write_text(json.dumps(record, indent=1) + '\n')
    (folder / 'gpu_check.md').write_text(markdown(record), encoding='utf-8')


def markdown(record: Record) -> str:
    """Write the page."""
    versions = ', '.join(f'{k} {v}' for k, v in sorted(record['versions'].items()))
    parts = [
        '# GPU check',
        f'`{record["command"]}`; {record["date"]}; {record["device"]}; {versions}.',
        'Mixed precision unless an entry says otherwise. Medians, with the quartiles '
        'in brackets. Ratios are taken within a round, in which every entry of a row '
        'runs a step. docs/benchmark.md says how to read it.',
        *_not_measured(record),
    ]
    for case in record['cases']:
        if 'released' in case['what']:
            parts += ['## Aims', _aims(case)]
    for case in record['cases']:
        parts += case_section(case)
    for row in record['counts']:
        parts += [f'## {row["title"]}', *_counts(row)]
    if record['training']:
        parts += ['## Training at full scale', record['training']]
    return '\n\n'.join(parts) + '\n'


def _not_measured(record: Record) -> Iterator[str]:
    for name, why in record['not_run'].items():
        yield f'Not measured: {name}, {why}'


def _aims(case: Record) -> str:
    """Hold the first row against what a step may cost."""
    found, met = [], []
    for name, _, key, sign, aim in AIMS:
        value = summary(case, name)[key] if name in case['times'] else None
        value = getattr(value, 'median', value)
        found.append('' if value is None else f'{value:.3f}')
        good = value is not None and (value <= aim if sign == '<=' else value >= aim)
        met.append('not measured' if value is None else 'yes' if good else 'no')
    return markdown_table(
        {
            'what': [what for _, what, *_ in AIMS],
            'aim': [f'{sign} {aim}' for *_, sign, aim in AIMS],
            'found': found,
            'met': met,
        }
    )


def _counts(row: Record) -> Iterator[str]:
    """Lay out what steps do, and where they wait."""
    counts = row['counts']
    if counts:
        kinds = [kind for kind in next(iter(counts.values())) if kind != WAITS]
        columns = {k: [str(one[k]) for one in counts.values()] for k in kinds}
        if any(WAITS in one for one in counts.values()):
            columns[WAITS] = [str(sum(c[WAITS].values())) for c in counts.values()]
        yield markdown_table({'a step': [*counts], **columns})
    for name, one in counts.items():
        for place, times in one.get(WAITS, {}).items():
            yield f'{name} waits at {place}, {times} times'
    for name, why in row['left_out'].items():
        yield f'Left out: {name}, {why}'
