"""The first section: what came out, run by run."""

from __future__ import annotations

from statistics import mean

from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.quantisers import is_quantiser
from mmvitkd.utils.statistics import (
    LEVEL,
    Difference,
    compare_with_baseline,
    format_mean,
)

from .groups import Group, baseline_of, teacher_groups
from .page import Cell, Folded, Section, Table, Text
from .runs import Run

# of a state dict, what is no parameter
BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked', 'position_index')
NUMBERS = frozenset(
    (
        *('seeds', 'best', 'last', 'vs. baseline', 'p', 'test', 'parameters'),
        *('necks', 'time'),
    )
)


def summary(groups: list[Group], metric: str) -> Section:
    """Tell accuracy, parameters and time of every group, and what went wrong."""
    section = Section('Summary')
    runs = [run for group in groups for run in group.runs]
    gains = differences(groups, metric)
    rows = [_row(group, gains.get(group.name), metric) for group in groups]
    # the numbers first, which a phone shows without scrolling
    columns = ['run', 'last', 'best', 'vs. baseline', 'p', 'test', 'method', 'seeds']
    columns += ['parameters', 'necks', 'time', 'state']
    # a column without a number says nothing
    kept = [i for i, name in enumerate(columns) if _any(rows, i) or name == 'last']
    section.blocks = [
        *_found(groups, metric, gains),
        Table(
            'summary',
            f'Validation, {metric}{_seeds_noted(groups)}.',
            [columns[i] for i in kept],
            [[row[i] for i in kept] for row in rows],
            NUMBERS,
        ),
        *[Text(note, warning=True) for note in _notes(groups)],
    ]
    if len(runs) > len(groups):
        section.blocks.append(Folded('Every run', _every_run(groups, metric)))
    section.blocks.append(Text(_explanation(gains)))
    return section


def _any(rows: list[list[Cell]], column: int) -> bool:
    return any(row[column].text for row in rows)


def _seeds_noted(groups: list[Group]) -> str:
    several = any(len(group.runs) > 1 for group in groups)
    return ': mean ± standard deviation over the seeds' if several else ''


def _row(group: Group, gain: Difference | None, metric: str) -> list[Cell]:
    finals, bests = group.finals(metric), group.bests(metric)
    tests = [run.tested[metric] for run in group.runs if metric in run.tested]
    student, terms = parameters(group)
    seeds = [str(run.seed) for run in group.runs if run.seed is not None]
    seconds = mean(run.seconds for run in group.runs)
    states = {run.state for run in group.runs}
    return [
        Cell(group.name),
        _number(finals),
        _number(bests),
        *_gain(gain),
        _number(tests),
        Cell(group.method),
        Cell(', '.join(seeds), len(group.runs)),
        Cell(f'{student:,}', student) if student else Cell(''),
        Cell(f'{terms:,}', terms) if terms else Cell(''),
        Cell(clock(seconds), seconds) if seconds else Cell(''),
        Cell('finished' if states == {'finished'} else _unfinished(group)),
    ]


def _number(values: list[float]) -> Cell:
    digits = 1 if values and max(values) > 2 else 3
    return Cell(format_mean(values, digits), mean(values)) if values else Cell('')


def differences(groups: list[Group], metric: str) -> dict[str, Difference]:
    """Compare every distilled group with its baseline; those of one are a family."""
    families: dict[str, tuple[Group, list[Group]]] = {}
    for group in groups:
        if baseline := baseline_of(group, groups):
            families.setdefault(baseline.name, (baseline, []))[1].append(group)
    found: dict[str, Difference] = {}
    for baseline, members in families.values():
        values = {group.name: group.finals(metric) for group in members}
        found |= compare_with_baseline(values, baseline.finals(metric))
    return found


def _gain(gain: Difference | None) -> tuple[Cell, Cell]:
    if gain is None:
        return Cell(''), Cell('')
    p = Cell('') if gain.p is None else Cell(_p_text(gain.p), gain.p)
    return Cell(f'{gain.value:+.1f}', gain.value), p


def _p_text(p: float) -> str:
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def _unfinished(group: Group) -> str:
    done = sum(run.state == 'finished' for run in group.runs)
    if len(group.runs) == 1:
        return group.first.state
    return f'{done} of {len(group.runs)} finished'


def clock(seconds: float) -> str:
    """Write a duration as ``h:mm:ss``."""
    whole = round(seconds)
    return f'{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}'


def parameters(group: Group) -> tuple[int, int]:
    """Count the parameters of the student, and of the terms, by a checkpoint."""
    run = next((run for run in group.runs if run.checkpoint), None)
    if run is None or run.checkpoint is None:
        return 0, 0
    try:
        weights = weights_of(load_checkpoint(run.checkpoint))
    except ValueError as error:
        run.notes.append(str(error))
        return 0, 0
    sizes = {
        key: value.numel()
        for key, value in weights.items()
        if not key.endswith(BUFFERS)
        and not key.startswith('data_preprocessor.')
        and not is_quantiser(key)
    }
    terms = sum(n for key, n in sizes.items() if key.startswith('terms.'))
    return sum(sizes.values()) - terms, terms


def _found(
    groups: list[Group], metric: str, gains: dict[str, Difference]
) -> list[Text]:
    """Say which of the distilled did best, against its baseline."""
    able = [g for g in groups if g.is_distilled and g.finals(metric)]
    if not able:
        return []
    best = max(able, key=lambda group: mean(group.finals(metric)))
    text = f'Best distilled student: {best.name}, {format_mean(best.finals(metric))}'
    baseline, gain = baseline_of(best, groups), gains.get(best.name)
    if baseline and gain:
        text += f'; baseline: {format_mean(baseline.finals(metric))}; difference: '
        text += f'{gain.value:+.1f}'
        if gain.p is not None:
            verdict = 'significant' if gain.significant else 'not significant'
            text += f', {verdict} (p {_p_text(gain.p)})'
    teachers = [g for g in teacher_groups(best, groups) if g.finals(metric)]
    for teacher in teachers:
        finals = format_mean(teacher.finals(metric))
        text += f'; its teacher: {finals} ({teacher.name})'
    few = min(len(best.runs), len(baseline.runs) if baseline else 2) < 2
    return [Text(text + ('. One seed says nothing about chance.' if few else '.'))]


def _notes(groups: list[Group]) -> list[str]:
    """Say what is wrong with runs."""
    notes = []
    for run in [run for group in groups for run in group.runs]:
        troubles = [] if run.state == 'finished' else [run.state]
        if run.cfg is None and not run.notes:
            troubles.append('it has no config')
        if run.checkpoint is None:
            troubles.append('it has no checkpoint, so its model is not looked into')
        troubles += [*run.odd_values(), *run.notes]
        notes += [f'{run.name}: {"; ".join(troubles)}'] if troubles else []
    return notes


def _every_run(groups: list[Group], metric: str) -> Table:
    rows = [
        [
            Cell(run.name),
            *_last_and_best(run, metric),
            _number([run.tested[metric]] if metric in run.tested else []),
            Cell('' if run.seed is None else str(run.seed), run.seed),
            Cell(run.started),
            Cell(clock(run.seconds), run.seconds) if run.seconds else Cell(''),
            Cell(run.state),
        ]
        for group in groups
        for run in group.runs
    ]
    columns = ['run', 'last', 'best', 'test', 'seed', 'started', 'time', 'state']
    return Table('runs', f'Every run, {metric}.', columns, rows, NUMBERS | {'seed'})


def _last_and_best(run: Run, metric: str) -> tuple[Cell, Cell]:
    series = run.series(metric, 'val')
    if not series:
        return Cell(''), Cell('')
    at, best = max(series, key=lambda point: (point[1], point[0]))
    return _number([series[-1][1]]), Cell(f'{best:.1f} ({run.unit} {at})', best)


def _explanation(gains: dict[str, Difference]) -> str:
    parts = ['Best and last are of the validations that were logged while training.']
    if gains:
        tests = sorted({gain.test for gain in gains.values() if gain.test})
        parts.append(
            'Baseline: the same student, trained without a teacher; the difference is '
            'that of the last validations.'
            + (f' p: by {" and ".join(tests)}; below {LEVEL:g} it is significant.')
            * bool(tests)
        )
    parts.append(
        'Parameters are those of the student in its checkpoint; necks: the trainable '
        'parameters of the necks, which distillation adds while it trains. Time is by '
        'the log, all starts of a run together.'
    )
    return ' '.join(parts)
