"""Settings of a config, tried on the validation split by equal budgets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvitkd.utils.config_file import open_config
from mmvitkd.utils.run_lock import lock_dir
from mmvitkd.utils.statistics import format_mean

from .progress import Progress, groups_of, show_plan
from .results import Measured, made_by, markdown_table, measure, write_records
from .run import Run, Setting, in_order, teachers_of
from .schedule import Launcher, run_all

KEYS = {'config', 'teacher', 'tries'}


def tune(args: argparse.Namespace, launcher: Launcher) -> list[Run]:
    """Try every setting by every seed, and write them in their order.

    Args:
        args: As the command reads them.
        launcher: What runs are done by.

    Returns:
        All runs.

    Raises:
        ValueError: If the file can't be read, or another call works in the folder.
    """
    settings = read(args.file, args.teacher, args.max_epochs)
    root = args.work_dir
    runs = in_order(
        Run(setting, seed, root) for setting in settings for seed in args.seeds
    )
    if args.dry_run:
        show_plan(groups_of(runs), args.gpus, args.jobs)
        return []
    with nullcontext() if args.report_only else lock_dir(root):
        if not args.report_only:
            times = show_plan(groups_of(runs), args.gpus, args.jobs)
            run_all(runs, launcher, Progress(runs, times, accuracy_text))
        write(settings, runs, args)
    return runs


def accuracy_text(run: Run) -> str:
    """Say what a finished run measured."""
    return f'{(run.result() or {})["top1"]:.1f}'


def read(file: Path, teacher: str | None, max_epochs: int | None) -> list[Setting]:
    """Read a file of tries: ``config``, ``tries``, and ``teacher`` if there is one.

    Args:
        file: Its paths are relative to itself.
        teacher: A checkpoint in the place of one that is trained by ``teacher``'s
            config. Defaults to None.
        max_epochs: Cuts every training. Defaults to None.

    Raises:
        ValueError: If something is missing or unknown.
    """
    if not file.is_file():
        raise ValueError(f"there is no file of tries '{file}'")
    tries = Config.fromfile(file).to_dict()
    if not {'config', 'tries'} <= tries.keys() or not tries['tries']:
        raise ValueError(f'{file.name} must give config and a list of tries')
    trained = None
    if 'teacher' in tries and teacher is None:
        cfg = _training(file.parent / tries['teacher'], {}, max_epochs)
        trained = Setting(f'teacher {Path(tries["teacher"]).stem}', cfg)
    found = []
    for changes in tries['tries']:
        cfg = _training(file.parent / tries['config'], changes, max_epochs)
        # what is chosen here must not know the test split
        cfg.test_dataloader = deepcopy(cfg.val_dataloader)
        cfg.test_evaluator = deepcopy(cfg.val_evaluator)
        for one in teachers_of(cfg.model).values() if teacher else ():
            one.checkpoint = str(Path(teacher or '').absolute())
        has_teacher = 'student' in cfg.model
        name = ', '.join(f'{_short(key)} {value}' for key, value in changes.items())
        stem = Path(tries['config']).stem
        found.append(Setting(name, cfg, trained if has_teacher else None, stem=stem))
    return found


def _training(path: Path, changes: dict[str, Any], max_epochs: int | None) -> Config:
    cfg = open_config(path, changes)
    cfg.merge_from_dict(deepcopy(changes))
    loop = cfg.train_cfg
    loop.max_epochs = min(loop.max_epochs, max_epochs or loop.max_epochs)
    loop.val_interval = min(loop.get('val_interval', 1), loop.max_epochs)
    return Config(cfg.to_dict())


def _short(key: str) -> str:
    """Shorten a dotted key to what tells it apart."""
    parts = key.removeprefix('model.terms.').split('.')
    return '.'.join(dict.fromkeys((parts[0], parts[-1])))


def write(
    settings: Sequence[Setting], runs: Sequence[Run], args: argparse.Namespace
) -> None:
    """Write the tries, the best first, as Markdown and CSV."""
    measured = [(one, measure(one, args.seeds, args.work_dir)) for one in settings]
    measured.sort(key=lambda pair: -(pair[1].mean() or 0))
    columns = {
        'validation top-1': [_value(found) for _, found in measured],
        'setting': [one.name for one, _ in measured],
    }
    out = args.work_dir / 'results'
    out.mkdir(parents=True, exist_ok=True)
    stem = out / args.file.stem
    parts = [
        f'# {args.file.stem}',
        f'{made_by(runs)}. Mean ± standard deviation over the seeds '
        f'{", ".join(map(str, args.seeds))}, on the validation split.',
        markdown_table(columns),
    ]
    stem.with_suffix('.md').write_text('\n\n'.join(parts) + '\n', encoding='utf-8')
    records = [
        {
            'setting': one.name,
            **{f'seed{s}': v for s, v in zip(args.seeds, found.top1, strict=False)},
            'mean': found.mean(),
        }
        for one, found in measured
    ]
    write_records(stem.with_suffix('.csv'), records)
    print(f'{parts[-1]}\n\n{stem}.md')


def _value(measured: Measured) -> str:
    failures = [f' (seed {s} failed: {why})' for s, why in measured.failures.items()]
    return format_mean(measured.top1) + ''.join(failures)
