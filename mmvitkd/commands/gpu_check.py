"""Measure on one GPU what no CPU can tell, within minutes, as JSON and a page.

    python -m mmvitkd gpu-check
    python -m mmvitkd gpu-check --minutes 30 --batch-size 256
    python -m mmvitkd gpu-check --device cpu --tiny --batch-size 2

Every row times a step beside its variants in rounds that take turns; a row that fails,
or for which no time is left, is a line of the page. See docs/benchmark.md.
"""

import argparse
import os
from pathlib import Path

from .experiment_options import experiment_process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        '--device', choices=('cuda', 'cpu'), default='cuda', help='Default: cuda'
    )
    parser.add_argument(
        '--tiny',
        action='store_true',
        help='one round of small models, to try the machinery without a GPU',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=9.0,
        help='that all rows share; what is left is for the training. Default: 9',
    )
    parser.add_argument(
        '--batch-size', type=int, default=128, help='images of a step. Default: 128'
    )
    parser.add_argument(
        '--threads', type=int, default=4, help='of torch on the CPU. Default: 4'
    )
    parser.add_argument(
        '--only', nargs='+', metavar='ROW', help='these rows, and no training'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('work_dirs/gpu_check'),
        help="folder of gpu_check.json and gpu_check.md. Default: '%(default)s'",
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    if min(args.batch_size, args.threads) < 1 or args.minutes <= 0:
        parser.error('--batch-size, --threads: at least 1; --minutes: above 0')


def run(args: argparse.Namespace) -> None:
    """Measure."""
    if args.device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    with experiment_process():
        from mmvitkd.experiments.gpu_check.gpu_check import gpu_check

        gpu_check(args)
