"""What ``python -m mmvitkd quickstart`` does."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mmvitkd.utils.run_lock import lock_dir

from ..execution import choose_launcher
from ..progress import Progress, clock
from ..run import Run
from ..schedule import run_all, visible_gpus
from .runs import BASELINE, COSTS, NAMES, TEACHER, plan, test

MARKER = '.mmvitkd-quickstart'
MOST_JOBS = 4  # on CPUs, unless more are asked for


def quickstart(args: argparse.Namespace) -> None:
    """Train, compare and export.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If an option can't be, the work dir is not ours or in use, or a
            training failed.
    """
    device = choose_device(args.device)
    root = args.work_dir.absolute()
    runs = plan(root / 'runs', args.seeds, args.max_epochs, device)
    todo = [run for run in runs if not run.result()]
    args.gpus, args.slurm = int(device == 'cuda'), None
    cores = min(len(os.sched_getaffinity(0)), MOST_JOBS)
    most = len(visible_gpus()) if args.gpus else cores
    args.jobs = args.jobs or min(len(todo), most) or 1
    if args.gpus and args.jobs > most:
        raise ValueError(f'--jobs {args.jobs}: {most} at most, one to a GPU')
    launcher = choose_launcher(args)
    with claim(root):
        print(f'Work dir: {root}')
        if reused := [run.name for run in runs if run not in todo]:
            print(f'Reused: {"; ".join(reused)}')
        if todo:
            print(f'{len(todo)} trainings on {device}, {args.jobs} at a time')
            costs = {run: COSTS[run.setting.name] for run in runs}
            run_all(todo, launcher, _SeedBySeed(runs, todo, costs), test)
            _require_finished(todo)
        from . import report  # heavy, and the runs have no use for it

        report.write(runs, root, device)


class _SeedBySeed(Progress):
    """Compares the students of a seed as soon as they are finished.

    Args:
        runs: All of the quickstart.
        todo: Those that are to be done.
        costs: As for :class:`Progress`.
    """

    def __init__(
        self, runs: Sequence[Run], todo: Sequence[Run], costs: Mapping[Run, float]
    ) -> None:
        super().__init__(todo, costs, summary)
        self.all = runs

    def ended(self, run: Run, left: Sequence[Run]) -> None:
        """Say what came out, of a whole seed as well, unless the table comes next."""
        super().ended(run, left)
        if left and (text := compare_seed(self.all, run.seed)):
            print(text, flush=True)


def compare_seed(runs: Sequence[Run], seed: int) -> str | None:
    """Compare the students of one seed; None while any, or the teacher, lacks."""
    wanted = [one for one in runs if one.setting.name == TEACHER or one.seed == seed]
    results = {one.setting.name: one.result() for one in wanted}
    if not all(results.values()):
        return None
    found = {name: (result or {})['test'] for name, result in results.items()}
    texts = [
        f'{NAMES[name]} {top1:.1f} %'
        + ('' if name in (TEACHER, BASELINE) else f' ({top1 - found[BASELINE]:+.1f})')
        for name, top1 in found.items()
    ]
    return f'       test, seed {seed}: {"; ".join(texts)}'


def choose_device(named: str) -> str:
    """Return ``'cpu'`` or ``'cuda'``.

    Raises:
        ValueError: If a GPU is asked for and there is none.
    """
    found = named != 'cpu' and visible_gpus()
    if named == 'cuda' and not found:
        raise ValueError(
            '--device cuda: torch finds no CUDA device here; use --device cpu'
        )
    return 'cuda' if found else 'cpu'


@contextmanager
def claim(work_dir: Path) -> Iterator[None]:
    """Make ``work_dir`` ours, and keep a second call out while this one runs.

    Raises:
        ValueError: If it holds other things, is in use, or can't be written to.
    """
    marker = work_dir / MARKER
    if work_dir.exists() and not marker.exists():
        if not work_dir.is_dir():
            raise ValueError(f'--work-dir {work_dir} is a file, not a folder')
        if any(work_dir.iterdir()):
            raise ValueError(
                f'--work-dir {work_dir} holds other things, which are left alone: give '
                'a new or empty folder, or one that the quickstart made'
            )
    with ExitStack() as held:
        try:
            held.enter_context(lock_dir(work_dir))
            marker.touch()
        except (OSError, ValueError) as error:
            raise ValueError(f'--work-dir {work_dir}: {error}') from error
        yield


def summary(run: Run) -> str:
    """Say what a finished run measured."""
    found: dict[str, Any] = run.result() or {}
    return (
        f'validation {found["val"]:5.1f} %, test {found["test"]:5.1f} %, '
        f'{clock(found["seconds"])}'
    )


def _require_finished(runs: list[Run]) -> None:
    for run in runs:
        if reason := run.failure():
            raise ValueError(
                f'{run.name} failed: {reason} (see {run.folder / "console.log"})'
            )
