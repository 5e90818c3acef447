"""What ``python -m mmvitkd compare`` does."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from mmvitkd.utils.run_lock import lock_dir

from ..progress import Progress, show_plan
from ..results import accuracy_text, made_by, teachers_line
from ..run import Run
from ..schedule import Launcher, run_all
from .costs import Costs, measure_costs, stored_costs
from .methods import FOLDER, find, read
from .page import write
from .plan import Plan, Row
from .plot import draw


def compare(args: argparse.Namespace, launcher: Launcher) -> list[Run]:
    """Run a comparison and write it; return all of its runs.

    Args:
        args: As the command reads them.
        launcher: What runs are done by.

    Raises:
        ValueError: If the methods can't be read, or another call works in the folder.
    """
    path = find(args.methods)
    comparison = read(path, args.max_epochs, args.config)
    plan = Plan(comparison, args.only, args.seeds, args.tuning_seeds, args.work_dir)
    if args.dry_run:
        show_plan(plan.groups(), args.gpus, args.jobs)
        return []
    with nullcontext() if args.report_only else lock_dir(plan.root):
        if not args.report_only:
            times = show_plan(plan.groups(), args.gpus, args.jobs)
            for runs_of in (plan.tuning, plan.test):  # by the factors chosen till then
                left = runs_of()
                run_all(left, launcher, Progress(left, times, accuracy_text))
        runs = [*plan.tuning(), *plan.test()]
        _write(plan, _with_costs(plan, path, args), runs, path, args)
    return runs


def _with_costs(plan: Plan, path: Path, args: argparse.Namespace) -> list[Row]:
    """Add what was measured of the methods that have run, or measure it now."""
    rows = plan.rows()
    methods = [row.method for row in rows if row.test.top1]
    reference = plan.comparison.methods[plan.comparison.timed_against]

    def measuring() -> Costs:
        print('measuring what a step costs', flush=True)
        return measure_costs(methods, reference, args.rounds, not args.gpus)

    # a cluster's jobs say nothing of the machine that this command runs on
    elsewhere = args.report_only or args.slurm is not None
    try:
        costs = stored_costs(
            plan.root / f'costs_{path.stem}.json',
            methods,
            None if elsewhere else measuring,
        )
    except ValueError as error:
        print(f'the costs could not be measured: {error}')
        costs = {}
    if args.slurm is not None and len(costs) < len(methods):
        print('the costs of a step are measured by the same command without --slurm')
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
    stem.parent.mkdir(parents=True, exist_ok=True)
    facts = [f'`{_command(args, path)}`; {made_by(runs)}.', teachers_line(runs)]
    write(plan.comparison, rows, [fact for fact in facts if fact], stem)
    draw(plan.comparison, rows, stem)
    print(f'{stem}.md')


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
