"""Settings of a config, tried on the validation split by equal budgets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvitkd.utils.config_file import open_named

from .execution import choose_launcher, execute
from .results import made_by, markdown_table, measure, write_page
from .run import Run, Setting, cut, in_order, teachers_of, use_validation_split


def tune(args: argparse.Namespace) -> bool:
    """Try every setting by every seed, and write them; return whether a run failed.

    Raises:
        ValueError: If the file can't be read, or another call works in the folder.
    """
    launcher = choose_launcher(args)
    settings = read(args.file, args.teacher, args.max_epochs)
    root = args.work_dir
    runs = in_order(
        Run(setting, seed, root) for setting in settings for seed in args.seeds
    )

    def write_all(runs: Sequence[Run]) -> None:
        write(settings, runs, args)

    return execute(args, launcher, root, [lambda: runs], write_all)


def read(file: Path, teacher: str | None, max_epochs: int | None) -> list[Setting]:
    """Read a file of tries: ``config``, ``tries``, and ``teacher`` if there is one.

    Args:
        file: Its paths are relative to itself.
        teacher: A checkpoint in the place of one that is trained by ``teacher``'s
            config. Defaults to None.
        max_epochs: Cuts every training. Defaults to None.

    Raises:
        ValueError: If something is missing.
    """
    if not file.is_file():
        raise ValueError(f"there is no file of tries '{file}'")
    tries = open_named(file).to_dict()
    if not {'config', 'tries'} <= tries.keys() or not tries['tries']:
        raise ValueError(f'{file.name} must give config and a list of tries')
    trained = {}
    if 'teacher' in tries and teacher is None:
        cfg = _training(file.parent / tries['teacher'], {}, max_epochs)
        trained['teacher'] = Setting(f'teacher {Path(tries["teacher"]).stem}', cfg)
    found = []
    for changes in tries['tries']:
        cfg = _training(file.parent / tries['config'], changes, max_epochs)
        use_validation_split(cfg)
        for one in teachers_of(cfg.model).values() if teacher else ():
            one.checkpoint = str(Path(teacher or '').absolute())
        teachers = trained if 'student' in cfg.model else {}
        name = ', '.join(f'{_short(key)} {value}' for key, value in changes.items())
        stem = Path(tries['config']).stem
        found.append(Setting(name, cfg, teachers, stem=stem))
    return found


def _training(path: Path, changes: dict[str, Any], max_epochs: int | None) -> Config:
    cfg = open_named(path, changes)
    cfg.merge_from_dict(deepcopy(changes))
    return Config(cut(cfg, max_epochs).to_dict())


def _short(key: str) -> str:
    """Shorten a dotted key to what tells it apart."""
    parts = key.removeprefix('model.terms.').split('.')
    return '.'.join(dict.fromkeys((parts[0], parts[-1])))


def write(
    settings: Sequence[Setting], runs: Sequence[Run], args: argparse.Namespace
) -> None:
    """Write the tries, the best first."""
    measured = [(one, measure(one, args.seeds, args.work_dir)) for one in settings]
    measured.sort(key=lambda pair: -(pair[1].mean() or 0))
    columns = {
        'validation top-1': [found.text() for _, found in measured],
        'setting': [one.name for one, _ in measured],
    }
    parts = [
        f'# {args.file.stem}',
        f'{made_by(runs)}. Mean ± standard deviation over the seeds '
        f'{", ".join(map(str, args.seeds))}, on the validation split.',
        markdown_table(columns),
    ]
    records = [
        {
            'setting': one.name,
            **{f'seed{s}': v for s, v in zip(args.seeds, found.top1, strict=False)},
            'mean': found.mean(),
        }
        for one, found in measured
    ]
    print(f'{parts[-1]}\n')
    write_page(args.work_dir / 'results' / f'{args.file.stem}.md', parts, records)
