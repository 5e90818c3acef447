"""What ``python -m mmvitkd tune`` does."""

from __future__ import annotations

import argparse

from .source import read
from .tries import run_tries

OF_SEARCHES = ('search', 'study', 'trials', 'sampler', 'sampler_seed', 'no_pruning')


def tune(args: argparse.Namespace) -> bool:
    """Run what is listed, or a search, and write it; return whether a run failed.

    Raises:
        ValueError: If the file, a setting or a range can't be, or another call works in
            the folder.
    """
    source = read(args)
    if not source.tries:
        from .search import search  # whose library listed tries do without

        return search(args, source)
    for name in OF_SEARCHES:
        if getattr(args, name):
            option = f'--{name.replace("_", "-")}'
            raise ValueError(
                f"{option} belongs to a search, but '{args.file}' has tries"
            )
    return run_tries(args, source)
