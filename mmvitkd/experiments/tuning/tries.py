"""Listed settings of a config, tried on the validation split by equal budgets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..execution import choose_launcher, execute
from ..results import made_by, markdown_table, measure, write_page
from ..run import Run, Setting, in_order
from .source import Source, shorten


def run_tries(args: argparse.Namespace, source: Source) -> bool:
    """Try every setting by every seed, and write them; return whether a run failed.

    Raises:
        ValueError: If another call works in the folder.
    """
    launcher = choose_launcher(args)
    settings = list_tries(source)
    root = args.work_dir
    runs = in_order(
        Run(setting, seed, root) for setting in settings for seed in args.seeds
    )

    def write_all(runs: Sequence[Run]) -> None:
        write(settings, runs, args)

    return execute(args, launcher, root, [lambda: runs], write_all)


def list_tries(source: Source) -> list[Setting]:
    """Make the settings that a file lists."""
    found = []
    for changes in source.tries:
        name = ', '.join(f'{shorten(key)} {value}' for key, value in changes.items())
        found.append(source.setting(name, changes))
    return found


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
