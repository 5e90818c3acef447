"""Fine-tune students for detection and segmentation on scenes, and compare them.

    python -m mmvitkd draw-scenes data/digit-scenes
    python -m mmvitkd compare-scenes

    python -m mmvitkd draw-scenes data/fashion-mnist-scenes --dataset fashion-mnist
    python -m mmvitkd compare-scenes --dataset fashion-mnist

    python -m mmvitkd compare-scenes --models

From random weights, from the student without distillation (the baseline) and from the
student by ViTKD, with equal budgets, once or more often for every seed of the students,
which are trained first. What is finished is not run again, and what was killed goes on,
so the same command is given until it is through. The page, its table and its pictures
go to --out.
"""

import argparse
import sys
from pathlib import Path

from mmvitkd.experiments.scenes import PROTOCOLS

from . import experiment_options as shared

TASKS = ('detection', 'segmentation')  # importing them takes seconds
ELSEWHERE = ", with --dataset fashion-mnist 'fashion-mnist-scenes' beside it"
MOST_SEEDS = 1000  # those of fine-tunings are counted from there on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        '--dataset',
        choices=PROTOCOLS,
        default='digits',
        help="that the students are trained on. Default: '%(default)s'",
    )
    parser.add_argument(
        '--scenes',
        type=Path,
        help=f"what draw-scenes drew. Default: 'data/digit-scenes'{ELSEWHERE}",
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=TASKS,
        default=TASKS,
        help='Default: both',
    )
    for option, purpose in (
        ('seeds', 'of the students'),
        ('fine_tunings', 'of each student'),
    ):
        numbers = [f'{getattr(p, option)} on {d}' for d, p in PROTOCOLS.items()]
        parser.add_argument(
            f'--{option.replace("_", "-")}',
            type=int,
            help=f'{purpose}. Default: {", ".join(numbers)}',
        )
    parser.add_argument(
        '--baseline-only',
        action='store_true',
        help='fine-tune the student without distillation alone: to choose settings by, '
        'on scenes drawn with --tuning',
    )
    parser.add_argument(
        '--models',
        action='store_true',
        help='distil detectors and segmentors themselves, by PKD, CWD and ViTKD, under '
        'a teacher that is trained first',
    )
    shared.add_max_epochs(parser)
    shared.add_runs_file(parser)
    shared.add_running(parser, 'work_dirs/digit-scenes', ELSEWHERE)
    parser.add_argument(
        '--out', type=Path, help="folder of the page. Default: the work dir's results"
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be, and scenes that are not there."""
    protocol = PROTOCOLS[args.dataset]
    args.scenes = args.scenes or Path('data', protocol.scenes)
    args.work_dir = args.work_dir or Path('work_dirs', protocol.scenes)
    shared.check_positive(parser, args, 'seeds', 'fine_tunings', 'max_epochs')
    args.seeds = args.seeds or protocol.seeds
    args.fine_tunings = args.fine_tunings or protocol.fine_tunings
    if args.models:
        for option, given in (
            ('--dataset fashion-mnist', args.dataset != 'digits'),
            ('--baseline-only', args.baseline_only),
            ('--fine-tunings', args.fine_tunings > 1),
        ):
            if given:
                parser.error(f'--models distils models of digits, once: no {option}')
    if args.seeds > MOST_SEEDS:
        parser.error(f'--seeds must be at most {MOST_SEEDS}, got {args.seeds}')
    if not (args.scenes / 'scenes.json').is_file():
        of = '' if args.dataset == 'digits' else f' --dataset {args.dataset}'
        parser.error(
            f"--scenes '{args.scenes}' holds no scenes: draw them with "
            f'python -m mmvitkd draw-scenes {args.scenes}{of}'
        )


def run(args: argparse.Namespace) -> None:
    """Compare them."""
    with shared.experiment_process():
        from mmvitkd.experiments.scenes.compare import compare

        sys.exit(compare(args))
