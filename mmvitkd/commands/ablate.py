"""Run a table of the paper, or an ablation plan, and write it with its statistics.

    python -m mmvitkd ablate table5 --dry-run
    python -m mmvitkd ablate table5 --seeds 3
    python -m mmvitkd ablate all --dataset in1k --gpus 8
    python -m mmvitkd ablate all --dataset in1k --slurm partition=gpu timeout_min=2880

What is finished is not run again, and what was killed goes on, so the same command
is given until it is through. Tables share their baselines, teachers and equal rows.
"""

import argparse
import sys

from . import experiment_options as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        'table',
        nargs='+',
        help="of configs/ablations, e.g. 'table5' or 'table5_layers'; 'all' of them; "
        'or a file of your own',
    )
    parser.add_argument(
        '--dataset',
        default='digits',
        help='one of configs/ablations/_base_, such as digits and in1k, or a file of '
        "your own like those. Default: '%(default)s'",
    )
    parser.add_argument('--seeds', type=int, default=3, help='Default: 3')
    parser.add_argument(
        '--baseline-seeds',
        type=int,
        help='of the students alone, with which all others are compared. Default: as '
        '--seeds',
    )
    shared.add_running(parser, 'work_dirs/ablations')
    shared.add_runs_file(parser)
    parser.add_argument(
        '--out', help="folder of the tables and plots. Default: the work dir's results"
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be, and complete the others."""
    shared.check_positive(parser, args, 'seeds', 'baseline_seeds')
    args.baseline_seeds = args.baseline_seeds or args.seeds
    if args.baseline_seeds < args.seeds:
        parser.error(f'--baseline-seeds {args.baseline_seeds} is below --seeds')


def run(args: argparse.Namespace) -> None:
    """Run the tables."""
    with shared.experiment_process():
        from mmvitkd.experiments.ablation.ablate import ablate

        sys.exit(ablate(args))
