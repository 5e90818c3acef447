"""Try settings of a config on the validation split, each by the same seeds.

    python -m mmvitkd tune configs/tuning/digits-student.py
    python -m mmvitkd tune configs/tuning/digits-vitkd.py --seeds 100 101 102

The file names a config, a list of changes to it, and perhaps the config of its teacher,
which is trained once. The test split is not looked at. A second call goes on where the
first one stopped.
"""

import argparse
import sys
from pathlib import Path

from . import experiment_options as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('file', type=Path, help='like those in configs/tuning')
    parser.add_argument(
        '--teacher',
        metavar='CHECKPOINT',
        help="the teacher's weights, instead of training it",
    )
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[100, 101],
        metavar='SEED',
        help='others than those of a later test. Default: 100 101',
    )
    shared.add_max_epochs(parser)
    shared.add_running(parser, 'work_dirs/tuning')


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    shared.check_positive(parser, args, 'max_epochs')
    if args.teacher and not Path(args.teacher).is_file():
        parser.error(f"--teacher '{args.teacher}' does not exist")


def run(args: argparse.Namespace) -> None:
    """Try the settings."""
    with shared.experiment_process():
        from mmvitkd.experiments.tuning import tune

        sys.exit(tune(args))
