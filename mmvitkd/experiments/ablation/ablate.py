"""What ``python -m mmvitkd ablate`` does."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from ..execution import choose_launcher, execute
from ..results import Spread, made_by, teachers_line
from ..run import Run, in_order
from ..runs_file import RunsFile
from ..timing import epoch_steps, relative, step_times
from .page import Row, rows_of, timed_reference, write
from .plot import draw
from .tables import Protocol, Table, find, kind_of_term, read

TIMED_ROUNDS = 60  # steps that a table of times is made from


def ablate(args: argparse.Namespace) -> bool:
    """Run tables and write them; return whether a run failed.

    Raises:
        ValueError: If a table can't be read, or another call works in the folder.
    """
    protocol = Protocol(args.dataset)
    launcher = choose_launcher(args, protocol.gpus)
    if args.gpus not in (protocol.gpus, 0):
        print(
            f'the learning rates of {protocol.name} belong to {protocol.gpus} GPUs, '
            f'not {args.gpus}: give --gpus {protocol.gpus}, or options of your own'
        )
    paths = [path for name in args.table for path in find(name, protocol.name)]
    tables = [read(path, protocol) for path in dict.fromkeys(paths)]
    _require_own_names(tables)
    root = args.work_dir / protocol.name
    runs = plan(tables, args, root)

    def write_all(_: Sequence[Run]) -> None:
        for table in tables:
            _write(table, protocol, args, root)

    kept = RunsFile(args.runs) if args.runs else None
    return execute(args, launcher, root, [lambda: runs], write_all, kept=kept)


def _require_own_names(tables: Sequence[Table]) -> None:
    names = [table.name for table in tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f'two tables are named {twice}, and their results are files of that name: '
            'rename one, or start them one after the other with another --out'
        )


def plan(tables: Sequence[Table], args: argparse.Namespace, root: Path) -> list[Run]:
    """List every run once: seed by seed, each after the teacher that it needs."""
    settings = [setting for table in tables for setting in table.settings]
    runs = [Run(one, seed, root) for seed in range(args.seeds) for one in settings]
    cells = [cell for table in tables for cell in table.cells]
    runs += [
        Run(cell.baseline, seed, root)
        for seed in range(args.seeds, args.baseline_seeds)
        for cell in cells
        if cell.baseline
    ]
    return in_order(runs)


def _write(
    table: Table, protocol: Protocol, args: argparse.Namespace, root: Path
) -> None:
    """Write a table as Markdown, LaTeX, CSV and plot."""
    rows = rows_of(table, args.seeds, args.baseline_seeds, root)
    if table.time_an_epoch:
        rows = _timed(table, rows, root, measure=not args.report_only)
    stem = Path(args.out or root / 'results') / table.name
    runs = plan([table], args, root)
    facts = [
        f'`{_command(table, args)}`; {made_by(runs)}.',
        teachers_line(run for run in runs if not run.setting.own_teachers),
        _weights_line(table, protocol),
    ]
    draw(table, rows, root.name, stem)
    write(table, rows, facts, stem.with_name(f'{table.name}.md'))


def _command(table: Table, args: argparse.Namespace) -> str:
    command = f'python -m mmvitkd ablate {table.argument} --dataset {args.dataset}'
    command += f' --seeds {args.seeds}'
    if args.baseline_seeds != args.seeds:
        command += f' --baseline-seeds {args.baseline_seeds}'
    return command


def _weights_line(table: Table, protocol: Protocol) -> str | None:
    """Tell by what the data set multiplies the weights that rows and terms name."""
    names = {
        name
        for cell in table.cells
        if cell.setting
        for name in cell.setting.cfg.model.get('terms', {})
    }
    factors = {kind_of_term(name): protocol.factor(name) for name in sorted(names)}
    changed = [f'{kind} {factor:g}' for kind, factor in factors.items() if factor != 1]
    if not changed:
        return None
    text = 'Weights on features are given as on ImageNet, and multiplied here: '
    return text + ', '.join(changed) + '.'


def _timed(table: Table, rows: list[Row], root: Path, measure: bool) -> list[Row]:
    """Fill the times in: measured now, or when they last were."""
    keys = sorted(setting.key for setting in table.settings)
    digest = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:8]
    file = root / f'{table.name}-{digest}-times.json'
    if measure:
        try:
            file.write_text(json.dumps(_time_epochs(rows)))
        except ValueError as error:
            print(f'{table.name}: the epochs could not be timed: {error}')
    times = json.loads(file.read_text()) if file.is_file() else {}
    found = []
    for row in rows:
        if row.name in times:
            seconds, middle, low, high = times[row.name]
            row = replace(row, seconds=seconds, ratio=Spread(low, middle, high))
        found.append(row)
    return found


def _time_epochs(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Time all rows of a table side by side, a step of each in turn.

    Returns:
        By row: seconds an epoch takes one process, and the ratio of a step to that of
        the first row that the paper timed, its median and quartiles.
    """
    settings = {row.name: row.cell.setting for row in rows if row.cell.setting}
    times = step_times(
        {name: Run(one, 0, Path()).config() for name, one in settings.items()},
        TIMED_ROUNDS,
    )
    reference = timed_reference([row.cell for row in rows])
    ratios = relative(times, next(r.name for r in rows if r.cell is reference))
    found = {}
    for name, mine in times.items():
        steps = epoch_steps(settings[name])
        if steps is None:
            raise ValueError(f'the images of {name} could not be counted')
        low, middle, high = ratios[name]
        found[name] = [median(mine) * steps, middle, low, high]
    return found
