"""What ``python -m mmvitkd compare-scenes`` does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext

from mmvitkd.utils.run_lock import lock_dir

from ..progress import Progress, groups_of, show_plan
from ..run import Run, in_order
from ..schedule import Launcher, run_all
from .tasks import TASKS
from .trainings import FineTuning, plan, test


def compare(args: argparse.Namespace, launcher: Launcher) -> list[Run]:
    """Run the fine-tunings and write what came out; return all runs.

    Args:
        args: As the command reads them.
        launcher: What runs are done by.

    Raises:
        ValueError: If another call works in the folder.
    """
    root = args.work_dir
    scenes = args.scenes.resolve()
    runs = plan(args.tasks, args.seeds, root, scenes, args.max_epochs)
    every = in_order(runs)
    if args.dry_run:
        show_plan(groups_of(every), args.gpus, args.jobs, timed=False)
        return []
    with nullcontext() if args.report_only else lock_dir(root):
        if not args.report_only:
            _import_once()
            show_plan(groups_of(every), args.gpus, args.jobs, timed=False)
            run_all(every, launcher, Progress(every, {}, summary), test)
        _write(runs, args)
    return every


def _import_once() -> None:
    """Import here what otherwise every run would in its process."""
    import mmdet.apis
    import mmdet.evaluation  # noqa: F401
    import mmseg.apis
    import mmseg.evaluation  # noqa: F401


def summary(run: Run) -> str:
    """Say what a finished run measured."""
    found = run.result() or {}
    names = ('top1', *(name for task in TASKS.values() for name in task.metrics))
    return ', '.join(f'{name} {found[name]:.1f}' for name in names if name in found)


def _write(runs: Sequence[FineTuning], args: argparse.Namespace) -> None:
    """Write the page, the tables and the pictures."""
    from . import page  # which needs pycocotools
    from .pictures import draw

    out = args.out or args.work_dir / 'results'
    folder = out / 'downstream'
    folder.mkdir(parents=True, exist_ok=True)
    rows = page.rows_of(runs)
    drawn = [task for task in args.tasks if draw(task, runs, folder / task)]
    page.write(rows, runs, drawn, _command(args), out)


def _command(args: argparse.Namespace) -> str:
    command = f'python -m mmvitkd compare-scenes --seeds {args.seeds}'
    if len(args.tasks) < len(TASKS):
        command += f' --tasks {" ".join(args.tasks)}'
    if args.max_epochs is not None:
        command += f' --max-epochs {args.max_epochs}'
    return command
