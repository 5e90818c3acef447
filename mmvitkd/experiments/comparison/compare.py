"""What ``python -m mmvitkd compare`` does."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..execution import choose_launcher, execute
from ..results import made_by, teachers_line
from ..run import Run
from ..runs_file import RunsFile
from .costs import measure_costs, store_costs, stored_costs
from .methods import FOLDER, find, read
from .page import write
from .plan import Plan, Row
from .plot import draw, draw_costs


def compare(args: argparse.Namespace) -> bool:
    """Run a comparison and write it; return whether a run failed.

    Raises:
        ValueError: If the methods can't be read, or another call works in the folder.
    """
    launcher = choose_launcher(args)
    path = find(args.methods)
    comparison = read(path, args.max_epochs, args.config)
    runs = not (args.dry_run or args.report_only)
    plan = Plan(
        comparison, args.only, args.seeds, args.tuning_seeds, args.work_dir, runs
    )

    def write(runs: Sequence[Run]) -> None:
        _write(plan, _with_costs(plan, path, args), runs, path, args)

    kept = RunsFile(args.runs) if args.runs else None
    return execute(
        args, launcher, plan.root, plan.stages(), write, plan.groups, kept=kept
    )


def _with_costs(plan: Plan, path: Path, args: argparse.Namespace) -> list[Row]:
    """Add what was measured of the methods that have run, or measure it now."""
    rows = plan.rows()
    # what is measured is a step under teachers that run
    methods = [
        row.method for row in rows if row.test.top1 and not row.method.stored_epochs
    ]
    file = plan.root / f'costs_{path.stem}.json'
    costs = stored_costs(file, methods)
    lacking = len(costs) < len(methods)
    if lacking and args.slurm is not None:  # its nodes are other machines than this
        print('the costs of a step are measured by the same command without --slurm')
    elif lacking and not args.report_only:
        print('measuring what a step costs', flush=True)
        reference = plan.comparison.methods[plan.comparison.timed_against]
        try:
            costs = measure_costs(methods, reference, args.rounds, not args.gpus)
            store_costs(file, methods, costs)
        except ValueError as error:
            print(f'the costs could not be measured: {error}')
    return [replace(row, costs=costs.get(row.name, {})) for row in rows]


def _write(
    plan: Plan,
    rows: Sequence[Row],
    runs: Sequence[Run],
    path: Path,
    args: argparse.Namespace,
) -> None:
    """Write the page, its table for LaTeX and as CSV, and the figure."""
    stem = (args.out or plan.root / 'results') / path.stem
    facts = [f'`{_command(args, path)}`; {made_by(runs)}.', teachers_line(runs)]
    draw(plan.comparison, rows, stem)
    drawn = draw_costs(plan.comparison, rows, stem.with_name(f'{path.stem}-costs'))
    write(plan.comparison, rows, facts, stem.with_name(f'{path.stem}.md'), drawn)


def _command(args: argparse.Namespace, path: Path) -> str:
    """Write the command that makes the same page."""
    parts = ['python', '-m', 'mmvitkd', 'compare', *map(os.path.relpath, args.config)]
    if path.resolve() != FOLDER / 'methods.py':
        ours = path.resolve().parent == FOLDER
        parts += ['--methods', path.stem if ours else os.path.relpath(path)]
    parts += ['--only', *args.only] if args.only else []
    parts += ['--seeds', str(args.seeds), '--tuning-seeds', str(args.tuning_seeds)]
    parts += ['--max-epochs', str(args.max_epochs)] if args.max_epochs else []
    return shlex.join(parts)
