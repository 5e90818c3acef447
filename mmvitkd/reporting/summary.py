"""The first section: what came out, run by run."""

from __future__ import annotations

from statistics import mean

from mmvitkd.reporting.significance import within_noise
from mmvitkd.utils import load_checkpoint, weights_of

from .groups import Group, baseline_of, spread
from .page import Cell, Folded, Section, Table, Text
from .runs import Run

# of a state dict, what is no parameter
BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked', 'position_index')
NUMBERS = frozenset(
    ('seeds', 'best', 'last', 'to alone', 'test', 'parameters', 'of terms', 'time')
)


def summary(groups: list[Group], metric: str) -> Section:
    """Tell accuracy, parameters and time of every group, and what went wrong."""
    section = Section('Summary')
    runs = [run for group in groups for run in group.runs]
    rows = [_row(group, groups, metric) for group in groups]
    # the numbers first, which a phone shows without scrolling
    columns = ['run', 'last', 'best', 'to alone', 'test', 'method', 'seeds']
    columns += ['parameters', 'of terms', 'time', 'state']
    # a column without a number says nothing
    kept = [i for i, name in enumerate(columns) if _any(rows, i) or name == 'last']
    section.blocks = [
        *_found(groups, metric),
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
    section.blocks.append(Text(_explanation(groups)))
    return section


def _any(rows: list[list[Cell]], column: int) -> bool:
    return any(row[column].text for row in rows)


def _seeds_noted(groups: list[Group]) -> str:
    several = any(len(group.runs) > 1 for group in groups)
    return ': mean ± standard deviation over the seeds' if several else ''


def _row(group: Group, groups: list[Group], metric: str) -> list[Cell]:
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
        _gain(group, baseline_of(group, groups), metric),
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
    return Cell(spread(values, digits), mean(values)) if values else Cell('')


def _gain(group: Group, baseline: Group | None, metric: str) -> Cell:
    if baseline is None or not (group.finals(metric) and baseline.finals(metric)):
        return Cell('')
    ours, alone = group.finals(metric), baseline.finals(metric)
    gain = mean(ours) - mean(alone)
    noise = ' (noise)' if within_noise(ours, alone) else ''
    return Cell(f'{gain:+.1f}{noise}', gain)


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
        if not key.endswith(BUFFERS) and not key.startswith('data_preprocessor.')
    }
    terms = sum(n for key, n in sizes.items() if key.startswith('terms.'))
    return sum(sizes.values()) - terms, terms


def _found(groups: list[Group], metric: str) -> list[Text]:
    """Say which of the distilled did best, against the same student alone."""
    able = [g for g in groups if g.is_distilled and g.finals(metric)]
    if not able:
        return []
    best = max(able, key=lambda group: mean(group.finals(metric)))
    text = f'Best of the distilled: {best.name}, {spread(best.finals(metric))}'
    baseline = baseline_of(best, groups)
    if baseline and baseline.finals(metric):
        gain = _gain(best, baseline, metric).text
        alone = spread(baseline.finals(metric))
        text += f'; the same student alone: {alone}; difference: {gain}'
    teachers = [g for g in groups if g.is_teacher and g.finals(metric)]
    if len(teachers) == 1:
        text += f'; its teacher: {spread(teachers[0].finals(metric))}'
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


def _explanation(groups: list[Group]) -> str:
    parts = ['Best and last are of the validations that were logged while training.']
    if any(baseline_of(group, groups) for group in groups):
        parts.append(
            'To alone: the last one less that of the same student without a teacher; '
            "noise: Welch's t-test does not tell it from chance at the 5 % level."
        )
    parts.append(
        'Parameters are those of the student in its checkpoint; of terms: of the necks '
        'that distillation adds while it trains. Time is by the log, all starts of a '
        'run together.'
    )
    return ' '.join(parts)
