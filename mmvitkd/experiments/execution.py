"""What the commands share: choose devices, show the plan, run it, and write a page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from mmvitkd.utils.run_lock import lock_dir

from .progress import Group, Progress, groups_of, show_failures, show_plan
from .results import accuracy_text
from .run import Run
from .runs_file import RunsFile
from .schedule import Launcher, Local, run_all, visible_gpus
from .worker import Test, test_classifier


def execute(
    args: argparse.Namespace,
    launcher: Launcher,
    root: Path,
    stages: Sequence[Callable[[], Sequence[Run]]],
    write: Callable[[Sequence[Run]], None],
    groups: Callable[[], Sequence[Group]] | None = None,
    timed: bool = True,
    text: Callable[[Run], str] = accuracy_text,
    test: Test = test_classifier,
    kept: RunsFile | None = None,
) -> bool:
    """Do what ``--dry-run`` and ``--report-only`` leave to do of a command.

    Args:
        args: As the command reads them.
        launcher: What runs are done by.
        root: The folder of the runs, which is locked against other calls.
        stages: Each lists its runs, teachers included, when those before are finished.
        write: Writes what came out, given all runs.
        groups: Returns the plan. Defaults to None: the first stage's runs by their
            settings.
        timed: Whether to estimate how long runs take. Defaults to True.
        text: Says what a finished run measured. Defaults to its accuracy.
        test: What a trained run is tested by. Defaults to the test of a classifier.
        kept: Whose runs count as finished, and which gets those of this call. Defaults
            to None.

    Returns:
        Whether a run failed.

    Raises:
        ValueError: If another call works in the folder.
    """
    groups = groups or (lambda: groups_of(stages[0]()))
    if args.dry_run:
        show_plan(groups(), args.gpus, args.jobs, timed)
        return False
    with nullcontext() if args.report_only else lock_dir(root), _keeping(stages, kept):
        if not args.report_only:
            times = show_plan(groups(), args.gpus, args.jobs, timed)
            for stage in stages:
                left = stage()
                if kept:
                    kept.take(left)
                run_all(left, launcher, Progress(left, times, text), test)
        runs = [run for stage in stages for run in stage()]
        write(runs)
    return bool(show_failures(runs))


@contextmanager
def _keeping(
    stages: Sequence[Callable[[], Sequence[Run]]], kept: RunsFile | None
) -> Iterator[None]:
    """Take what a file has of the runs, and add to it what is finished in the end."""
    if kept is None:
        yield
        return
    for stage in stages:  # a later one may follow from what is taken for the first
        if taken := kept.take(stage()):
            print(f'{taken} runs are finished by {kept.path}', flush=True)
    try:
        yield
    finally:
        kept.add([run for stage in stages for run in stage()])


def choose_launcher(args: argparse.Namespace, gpus: int = 1) -> Launcher:
    """Make what runs are done by, and complete ``args.gpus`` and ``args.jobs``.

    Args:
        args: As the command line has them.
        gpus: Of each run, where the command line doesn't say. Defaults to 1.

    Raises:
        ValueError: If a device is not there, or an option of Slurm is unknown.
    """
    if args.slurm is not None:
        args.gpus = gpus if args.gpus is None else args.gpus
        args.jobs = args.jobs or 64
        from .cluster import Cluster  # whose library is for clusters alone

        folder = args.work_dir / 'slurm'
        return Cluster(folder, args.gpus, args.jobs, read_options(args.slurm))
    visible = visible_gpus()
    if args.gpus is None:
        args.gpus = min(gpus, len(visible))
    if not 0 <= args.gpus <= len(visible):
        raise ValueError(f'--gpus {args.gpus}, but there are {len(visible)}')
    most = len(visible) // args.gpus if args.gpus else len(os.sched_getaffinity(0))
    args.jobs = most if args.jobs is None else args.jobs
    if args.jobs < 1 or (args.gpus and args.jobs > most):
        raise ValueError(
            f'--jobs {args.jobs}: at least 1'
            + (f', and {most} at most with --gpus {args.gpus}' if args.gpus else '')
        )
    if not args.gpus:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # nothing is timed on a GPU either
    return Local(args.gpus, args.jobs, visible)


def read_options(pairs: list[str]) -> dict[str, str | int]:
    """Read ``KEY=VALUE`` pairs.

    Raises:
        ValueError: If one has no ``=``.
    """
    found: dict[str, str | int] = {}
    for pair in pairs:
        key, equals, value = pair.partition('=')
        if not (key and equals):
            raise ValueError(f"--slurm {pair}: give KEY=VALUE, as in 'partition=gpu'")
        found[key] = int(value) if value.isdigit() else value
    return found
