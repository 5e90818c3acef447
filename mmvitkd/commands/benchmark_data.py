"""Time a config's training pipeline, transform by transform, on one core.

    python -m mmvitkd benchmark data CONFIG --step-images-per-second 3000
    python -m mmvitkd benchmark data CONFIG --photographs

The pipeline as it is stands beside those that `train --fast-data` takes, in rounds that
go over the same images. See docs/benchmark.md.
"""

import argparse
import math

from .experiment_options import experiment_process
from .options import CfgOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('config', metavar='CONFIG', help='of any training of images')
    parser.add_argument(
        '--photographs',
        action='store_true',
        help="JPEGs of scikit-learn's photographs instead of the config's images, "
        'which need not be there',
    )
    parser.add_argument(
        '--photograph-size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        default=[375, 500],
        help='of those. Default: 375 500, the most frequent on ImageNet',
    )
    parser.add_argument(
        '--images', type=int, default=64, help='of a round. Default: %(default)s'
    )
    parser.add_argument(
        '--rounds', type=int, default=5, help='that count. Default: %(default)s'
    )
    step = parser.add_mutually_exclusive_group()
    step.add_argument(
        '--step-images-per-second',
        type=float,
        metavar='N',
        help='what the training step of one process takes, to tell how many workers '
        'feed it',
    )
    step.add_argument(
        '--time-step',
        action='store_true',
        help="time the config's training step on this machine, for the same",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change settings of the config, as for train',
    )
    parser.add_argument(
        '--out',
        default='work_dirs/benchmark-data',
        help="folder of data.md, .json and .csv. Default: '%(default)s'",
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    if min(args.images, args.rounds, *args.photograph_size) < 1:
        parser.error('--images, --rounds, --photograph-size: at least 1')
    step = args.step_images_per_second
    if step is not None and not 0 < step < math.inf:
        parser.error(f'--step-images-per-second {step}: give a number above 0')


def run(args: argparse.Namespace) -> None:
    """Measure, and write the tables."""
    with experiment_process():
        from mmvitkd.experiments.benchmark.data import benchmark_data

        benchmark_data(args)
