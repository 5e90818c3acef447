"""Hold what papers claim against the tables of ``ablate`` and ``compare``.

    python -m mmvitkd claims configs/claims/fashion-mnist-claims.py \\
        --results results/fashion-mnist --out results/fashion-mnist/claims.md

A file of configs/claims lists the claims, each as the difference of two rows of a
table. Whether it is seen is told by one family of tests over all claims; the page has
every difference with its interval.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('file', type=Path, help='of claims, as in configs/claims')
    parser.add_argument(
        '--results',
        type=Path,
        default=Path('results'),
        metavar='DIR',
        help="where the tables' CSV files and figures lie. Default: '%(default)s'",
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='FILE',
        help='the page, Markdown, with a CSV file and a table for LaTeX beside it',
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse folders that are none, and another kind of page."""
    if not args.results.is_dir():
        parser.error(f'--results {args.results}: there is no such folder')
    if args.out.suffix != '.md':
        parser.error(f'--out {args.out}: a page ends in .md')


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from mmvitkd.utils.libraries import optional_libraries

    with optional_libraries():
        from mmvitkd.experiments.claims import write

        write(args.file, args.results, args.out)
