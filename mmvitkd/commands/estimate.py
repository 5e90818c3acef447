"""Estimate what runs cost: multiply-adds, GPU hours, bytes on the network, a cache."""

import argparse
import math


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('configs', nargs='+', help='paths of distillation configs')
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument(
        '--images-per-second',
        type=float,
        help='as measured, of one GPU in training. Default: from --tflops',
    )
    speed.add_argument(
        '--tflops',
        type=float,
        default=100.0,
        help='what a GPU sustains, two operations a multiply-add. Default: 100',
    )
    parser.add_argument(
        '--gpus', type=int, default=8, help='how many share the work. Default: 8'
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that no machine has."""
    for name in ('images_per_second', 'tflops', 'gpus'):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            parser.error(f'--{name.replace("_", "-")} {value}: give a number above 0')


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    from mmvitkd.inspection.estimate import print_costs

    print_costs(args)
