"""What ``python -m mmvitkd compare-scenes`` does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..execution import choose_launcher, execute
from ..run import Run, in_order
from .trainings import TASKS, FineTuning, plan, test


def compare(args: argparse.Namespace) -> bool:
    """Run the fine-tunings and write what came out; return whether a run failed.

    Raises:
        ValueError: If another call works in the folder.
    """
    launcher = choose_launcher(args)
    root, scenes = args.work_dir, args.scenes.resolve()
    runs = plan(args.tasks, args.seeds, root, scenes, args.max_epochs)
    if not (args.dry_run or args.report_only):
        # here what otherwise every run would import in its process
        import mmdet.apis
        import mmdet.evaluation  # noqa: F401
        import mmseg.apis
        import mmseg.evaluation  # noqa: F401

    return execute(
        args,
        launcher,
        root,
        [lambda: in_order(runs)],
        lambda _: _write(runs, args),
        timed=False,
        text=summary,
        test=test,
    )


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
    drawn = [task for task in args.tasks if draw(task, runs, out / 'downstream' / task)]
    page.write(page.rows_of(runs), runs, drawn, _command(args), out)


def _command(args: argparse.Namespace) -> str:
    command = f'python -m mmvitkd compare-scenes --seeds {args.seeds}'
    if len(args.tasks) < len(TASKS):
        command += f' --tasks {" ".join(args.tasks)}'
    if args.max_epochs is not None:
        command += f' --max-epochs {args.max_epochs}'
    return command
