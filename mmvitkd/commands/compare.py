"""Compare methods by one protocol, tuned with equal tries, on digits by default.

    python -m mmvitkd compare --dry-run
    python -m mmvitkd compare --seeds 3 --out results
    python -m mmvitkd compare my_method.py --only KD
    python -m mmvitkd compare --methods no-labels --slurm partition=gpu timeout_min=240

The weights of every method are multiplied by the same few factors and tried on the
validation split; the best one is trained by other seeds and tested. What is finished is
not run again, and what was killed goes on, so the same command is given until it is
through. See configs/comparison/README.md.
"""

import argparse
import sys
from pathlib import Path

from . import experiment_options as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        'config',
        nargs='*',
        type=Path,
        help="of a method of your own, which joins the others under its file's name; "
        "how its training differs from the baseline's is listed on the page",
    )
    parser.add_argument(
        '--methods',
        default='methods',
        metavar='FILE',
        help="of configs/comparison, such as 'no-labels', or one of your own like "
        "those. Default: '%(default)s'",
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='METHOD',
        help='these methods, by their names in the file, with those of the configs and '
        'the two that all are compared with. Default: all',
    )
    parser.add_argument(
        '--seeds', type=int, default=3, help='of the test. Default: %(default)s'
    )
    parser.add_argument(
        '--tuning-seeds', type=int, default=2, help='of every try. Default: %(default)s'
    )
    shared.add_max_epochs(parser)
    parser.add_argument(
        '--rounds',
        type=int,
        default=20,
        help='steps of every method that its time is measured by. Default: %(default)s',
    )
    shared.add_running(parser, 'work_dirs/comparison')
    shared.add_runs_file(parser)
    parser.add_argument(
        '--out',
        type=Path,
        help='folder of the page, by the name of --methods: .md, .tex, .csv, .svg and '
        ".png. Default: the work dir's results",
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    shared.check_positive(parser, args, 'seeds', 'tuning_seeds', 'max_epochs')
    if args.rounds < 2:
        parser.error(f'--rounds must be at least 2, got {args.rounds}')


def run(args: argparse.Namespace) -> None:
    """Run the comparison."""
    with shared.experiment_process():
        from mmvitkd.experiments.comparison.compare import compare

        sys.exit(compare(args))
