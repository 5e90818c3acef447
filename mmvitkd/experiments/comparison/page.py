"""Write a comparison: lines of numbers, and what they say for certain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ablation_lib.results import Measured, spread

from mmvitkd.reporting.significance import LEVEL, within_noise
from mmvitkd.utils.tables import write_rows

from .methods import Comparison, Method


@dataclass(frozen=True)
class Line:
    """What is known of a method.

    Args:
        method: Which.
        factor: The one that was chosen; None while it is not.
        validated: What the tries gave on the validation split, by factor.
        test: What the chosen one gave on the test split.
        costs: Of a step and of the student, as ``measure_costs`` returns them; empty
            where they are not measured.
    """

    method: Method
    factor: float | None
    validated: dict[float, Measured]
    test: Measured
    costs: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def at_the_end(self) -> bool:
        """Whether a factor beyond those tried might be better."""
        ends = (min(self.validated), max(self.validated)) if self.validated else ()
        return self.factor in ends

    @property
    def reason(self) -> str | None:
        """Say why there is no accuracy, if a run failed."""
        every = (*self.validated.values(), self.test)
        reasons = [why for one in every for why in one.failures.values()]
        return reasons[0] if reasons and not self.test.top1 else None

    def difference(self, other: Line) -> float | None:
        """Return the mean top-1 against another's, in points."""
        if not (self.test.top1 and other.test.top1):
            return None
        return mean(self.test.top1) - mean(other.test.top1)

    def is_noise(self, other: Line) -> bool | None:
        """Tell whether chance alone could make it; None with too few seeds."""
        return within_noise(self.test.top1, other.test.top1)


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Lay a table out in Markdown; with no rows there is none."""
    if not rows:
        return []
    cells = [heads, ['---'] * len(heads), *rows]
    return [f'| {" | ".join(c.replace("|", "/") for c in row)} |' for row in cells]


def times(factor: float) -> str:
    """Write a factor as people do."""
    return f'1/{1 / factor:g}' if factor < 1 else f'{factor:g}'


def _value(measured: Measured, nothing: str = '-') -> str:
    text = spread(measured.top1) if measured.top1 else nothing
    for seed, reason in measured.failures.items():
        text += f' (seed {seed} failed: {reason})'
    return text


def _top1(line: Line) -> str:
    if line.factor is None and line.reason:
        return f'- (tuning failed: {line.reason})'
    return _value(line.test)


def _difference(line: Line, other: Line) -> str:
    value = None if line is other else line.difference(other)
    if value is None:
        return ''
    mark = {True: ' (noise)', False: '', None: ' (one seed)'}[line.is_noise(other)]
    return f'{value:+.1f}{mark}'


def _factor(line: Line) -> str:
    if line.factor is None or not line.validated:
        return '-'
    return times(line.factor) + (' (end)' if line.at_the_end else '')


def _ratio(line: Line) -> str:
    if 'ratio' not in line.costs:
        return '-'
    low, middle, high = line.costs['ratio']
    return f'{middle:.2f} ({low:.2f} to {high:.2f})'


def _memory(line: Line) -> str:
    return f'{line.costs["memory"] / 1e6:.0f}' if 'memory' in line.costs else '-'


def main_table(lines: list[Line], alone: Line, to_beat: Line, timed: str) -> list[str]:
    """Lay out accuracies, factors and costs."""
    heads = [
        'method', 'teacher', 'top-1', f'to {alone.name}', f'to {to_beat.name}',
        'seeds', 'factor', f'a step, to {timed}', 'memory, MB',
    ]  # fmt: skip
    rows = [
        [
            line.name,
            line.method.taught_by,
            _top1(line),
            _difference(line, alone),
            _difference(line, to_beat),
            str(len(line.test.top1)),
            _factor(line),
            _ratio(line),
            _memory(line),
        ]
        for line in lines
    ]
    return table(heads, rows)


def significance(lines: list[Line], other: Line) -> dict[str, list[str]]:
    """Sort methods by what Welch's test says of them against another.

    Returns:
        Names and differences: ``'above'`` and ``'below'`` it beyond the noise,
        ``'noise'``, and ``'untested'`` with fewer than two seeds.
    """
    found: dict[str, list[str]] = {
        k: [] for k in ('above', 'noise', 'below', 'untested')
    }
    for line in lines:
        value = None if line is other else line.difference(other)
        if value is None:
            continue
        noise = line.is_noise(other)
        kind = 'above' if value > 0 else 'below'
        if noise is not False:
            kind = 'untested' if noise is None else 'noise'
        found[kind].append(f'{line.name} ({value:+.1f})')
    return found


TEMPLATES = {
    'above': 'Beyond the noise above {}',
    'noise': 'Not told apart from {}',
    'below': 'Beyond the noise below {}',
    'untested': 'Too few seeds to tell from {}',
}


def words(lines: list[Line], alone: Line, to_beat: Line) -> list[str]:
    """Say in words what is certain."""
    tested = [x for x in lines if x.method.tuned and x.is_noise(to_beat) is not None]
    tested = [line for line in tested if line is not to_beat]
    above = len(significance(tested, to_beat)['above'])
    said = (
        [f'- {above} of {len(tested)} methods beat {to_beat.name} beyond the noise.']
        if tested
        else []
    )
    for other in (to_beat, alone):
        for kind, names in significance(lines, other).items():
            if names:
                said.append(
                    f'- {TEMPLATES[kind].format(other.name)}: {", ".join(names)}.'
                )
    ends = [line.name for line in lines if line.at_the_end]
    if ends:
        said.append(
            '- The factor lies at an end of the range, so that one beyond it might be '
            f'better, of: {", ".join(ends)}.'
        )
    return said


def students_table(lines: list[Line], alone: Line) -> list[str]:
    """Lay out the students that are not the others', beside the one that is."""
    shown = [
        line
        for line in lines
        if line.costs and (line is alone or line.method.student != alone.method.student)
    ]
    rows = [
        [
            line.name,
            line.method.differs.get('model.student', ''),
            f'{line.costs["parameters"]:,}',
            f'{line.costs["multiply_adds"] / 1e6:.2f} M',
        ]
        for line in shown
    ]
    heads = ['student of', 'what is its own', 'parameters', 'multiply-adds an image']
    return table(heads, rows if len(rows) > 1 else [])


def tuning_table(lines: list[Line], factors: tuple[float, ...]) -> list[str]:
    """Lay out the validation split's accuracies."""
    tuned = [line for line in lines if line.method.tuned]
    rows = []
    for line in tuned:
        terms = line.method.cfg.model.terms
        left = [name for name in terms if name not in line.method.tuned]
        rows.append(
            [
                line.name,
                *(_value(line.validated[factor]) for factor in factors),
                line.method.weights,
                f'all but {", ".join(left)}' if left else 'all',
            ]
        )
    tried = [f'x {times(factor)}' for factor in factors]
    return table(['method', *tried, 'weights at x 1', 'terms with it'], rows)


def page(comparison: Comparison, lines: list[Line], facts: list[str], stem: str) -> str:
    """Write the page in Markdown.

    Args:
        comparison: The methods' file.
        lines: In its order.
        facts: Paragraphs on what made the page.
        stem: The name of the page's files, without suffix.
    """
    by_name = {line.name: line for line in lines}
    alone, to_beat = by_name[comparison.alone], by_name[comparison.to_beat]
    excluded = [f'- `{name}`: {why}.' for name, why in comparison.excluded.items()]
    blocks = [
        [f'# {comparison.title}'],
        *([fact] for fact in facts),
        main_table(lines, alone, to_beat, comparison.timed_against),
        [_legend(any(line.costs.get('cpu_time') for line in lines))],
        [f'![{comparison.title}]({stem}.svg)'],
        ['## In words'],
        words(lines, alone, to_beat) or ['Nothing is certain yet.'],
        ['## What is not equal'],
        [f'All have the training of {alone.name}, but for:'],
        _differences(lines) or ['- nothing.'],
        students_table(lines, alone),
        ['## Tuning'],
        [
            'Top-1 on the validation split, mean ± standard deviation over the seeds. '
            f'{comparison.without_factor}'
        ],
        tuning_table(lines, comparison.factors),
        ['## Not compared'] if excluded else [],
        excluded,
    ]
    return '\n\n'.join('\n'.join(block) for block in blocks if block) + '\n'


def _legend(cpu_time: bool) -> str:
    clock = "the process's CPU seconds" if cpu_time else 'seconds'
    return (
        'Top-1 on the test split: mean ± standard deviation over the seeds. "noise": '
        f"Welch's t-test does not tell the difference from chance at the {LEVEL:.0%} "
        'level; where nothing differs, one comparison in twenty passes all the same. '
        '"factor": what the weights of the terms are multiplied by, chosen on the '
        'validation split; "end": it lies at an end of the range. A step: the median, '
        'and quartiles, of quotients within a round that runs a step of each, in '
        f'{clock}. Memory: the peak of a few steps, beyond that of the imports; on a '
        'CPU it is resident memory. A dash was not measured.'
    )


def _differences(lines: list[Line]) -> list[str]:
    """List how trainings differ; students have a table of their own."""
    return [
        f'- {line.name}: {why}.'
        for line in lines
        for key, why in line.method.differs.items()
        if key != 'model.student'
    ]


def write_csv(path: Path, comparison: Comparison, lines: list[Line]) -> None:
    """Write every number, those of single seeds included."""
    by_name = {line.name: line for line in lines}
    others = {
        'alone': by_name[comparison.alone],
        'to_beat': by_name[comparison.to_beat],
    }
    rows = [_record(line, others, comparison.factors) for line in lines]
    with path.open('w', newline='', encoding='utf-8') as file:
        write_rows(file, [list(rows[0]), *(list(row.values()) for row in rows)])


def _record(
    line: Line, others: dict[str, Line], factors: tuple[float, ...]
) -> dict[str, Any]:
    values = line.test.top1
    low, middle, high = line.costs.get('ratio', (None, None, None))
    record: dict[str, Any] = {
        'method': line.name,
        'teacher': line.method.taught_by,
        'epochs': line.method.cfg.train_cfg.max_epochs,
        'mean': mean(values) if values else None,
        'stdev': stdev(values) if len(values) > 1 else None,
        'seeds': len(values),
    }
    for key, other in others.items():
        record[f'minus_{key}'] = line.difference(other)
        record[f'minus_{key}_within_noise'] = line.is_noise(other)
    record.update(factor=line.factor, factor_at_the_end=line.at_the_end)
    for factor in factors:
        found = line.validated.get(factor, Measured()).top1
        record[f'validated_x{factor:g}'] = mean(found) if found else None
    record.update(
        step_ratio=middle,
        step_ratio_low=low,
        step_ratio_high=high,
        **{
            key: line.costs.get(key)
            for key in ('seconds', 'memory', 'parameters', 'multiply_adds')
        },
        values=' '.join(f'{value:.2f}' for value in values),
        failures='; '.join(
            why
            for one in (*line.validated.values(), line.test)
            for why in one.failures.values()
        ),
    )
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in record.items()}
