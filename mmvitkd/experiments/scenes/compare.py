"""What ``python -m mmvitkd compare-scenes`` does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..execution import choose_launcher, execute
from ..run import Run, in_order
from ..runs_file import RunsFile
from . import PROTOCOLS
from .draw import read_summary
from .models import plan_models
from .texts import TEXTS
from .trainings import BASELINE, INITS, TASKS, FineTuning, plan, test


def compare(args: argparse.Namespace) -> bool:
    """Run the fine-tunings and write what came out; return whether a run failed.

    Raises:
        ValueError: If another call works in the folder, or the scenes are of another
            data set.
    """
    launcher = choose_launcher(args)
    root, scenes = args.work_dir, args.scenes.resolve()
    if (held := read_summary(scenes)['dataset']) != args.dataset:
        raise ValueError(
            f"--scenes '{args.scenes}' holds scenes of {held}: --dataset {held} goes "
            f'with them, got {args.dataset}'
        )
    runs = _plan(args, root, scenes)
    kept = RunsFile(args.runs) if args.runs else None
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
        kept=kept,
    )


def _plan(args: argparse.Namespace, root: Path, scenes: Path) -> list[FineTuning]:
    if args.models:
        return plan_models(args.tasks, args.seeds, root, scenes, args.max_epochs)
    return plan(
        args.tasks,
        args.seeds,
        args.fine_tunings,
        root,
        scenes,
        args.max_epochs,
        [BASELINE] if args.baseline_only else INITS,
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

    paired = PROTOCOLS[args.dataset].paired
    out = args.out or args.work_dir / 'results'
    about = 'models' if args.models else args.dataset
    folder = out / TEXTS[about].page
    drawn = [task for task in args.tasks if draw(task, runs, folder / task)]
    rows = page.rows_of(runs, args.fine_tunings, paired)
    page.write(rows, runs, drawn, _command(args), out, about, paired)


def _command(args: argparse.Namespace) -> str:
    command = 'python -m mmvitkd compare-scenes'
    if args.dataset != 'digits':
        command += f' --dataset {args.dataset}'
    if args.models:
        command += ' --models'
    command += f' --seeds {args.seeds}'
    if args.fine_tunings > 1:
        command += f' --fine-tunings {args.fine_tunings}'
    if args.baseline_only:
        command += ' --baseline-only'
    if len(args.tasks) < len(TASKS):
        command += f' --tasks {" ".join(args.tasks)}'
    if args.max_epochs is not None:
        command += f' --max-epochs {args.max_epochs}'
    return command
