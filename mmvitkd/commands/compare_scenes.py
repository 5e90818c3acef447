"""Fine-tune the digits' students for detection and segmentation, and compare them.

    python -m mmvitkd draw-scenes data/digit-scenes
    python -m mmvitkd compare-scenes

From random weights, from the student without distillation (the baseline) and from the
student by ViTKD, with equal budgets, once for every seed; the students are trained
first. What is finished is not run again, and what was killed goes on, so the same
command is given until it is through. The page, its table and its pictures go to --out.
"""

import argparse
import sys
from pathlib import Path

from . import experiment_options as shared

TASKS = ('detection', 'segmentation')  # importing them takes seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        '--scenes',
        type=Path,
        default=Path('data/digit-scenes'),
        help="what draw-scenes drew. Default: '%(default)s'",
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=TASKS,
        default=TASKS,
        help='Default: both',
    )
    parser.add_argument('--seeds', type=int, default=3, help='Default: 3')
    shared.add_max_epochs(parser)
    shared.add_running(parser, 'work_dirs/digit-scenes')
    parser.add_argument(
        '--out', type=Path, help="folder of the page. Default: the work dir's results"
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be, and scenes that are not there."""
    shared.check_positive(parser, args, 'seeds', 'max_epochs')
    if not (args.scenes / 'scenes.json').is_file():
        parser.error(
            f"--scenes '{args.scenes}' holds no scenes: draw them with "
            f'python -m mmvitkd draw-scenes {args.scenes}'
        )


def run(args: argparse.Namespace) -> None:
    """Compare them."""
    with shared.experiment_process():
        from mmvitkd.experiments.scenes.compare import compare

        sys.exit(compare(args))
