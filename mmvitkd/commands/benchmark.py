"""Time a distillation config beside the student alone, the teacher alone and others.

    python -m mmvitkd benchmark
    python -m mmvitkd benchmark configs/digits/vitkd_digits.py --rounds 5
    python -m mmvitkd benchmark --only student teacher config --batch-size 16 32 64
    python -m mmvitkd benchmark data CONFIG    how long its images take: see its --help

Every round runs one step of each variant, so that what else the machine does falls on
all alike; ratios are taken within a round. See docs/benchmark.md.
"""

import argparse

from .experiment_options import experiment_process
from .options import CfgOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        'configs',
        nargs='*',
        metavar='CONFIG',
        help="a distiller's. Default: ViTKD's DeiT-T under DeiT III-S on ImageNet",
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='VARIANT',
        help='of those that --list prints. Default: all that apply',
    )
    parser.add_argument(
        '--list', action='store_true', help='list the variants, and do nothing else'
    )
    parser.add_argument('--rounds', type=int, default=20, help='Default: 20')
    parser.add_argument(
        '--warm-up', type=int, default=2, help='rounds that do not count. Default: 2'
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        nargs='+',
        default=[16],
        help='images of a step of one process; several are timed after each other. '
        'Default: 16',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs='+',
        default=[None],
        help='height and width of the images, for student and teacher; several are '
        'timed after each other. Default: what the student was made for',
    )
    parser.add_argument(
        '--teachers',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help="in the place of the config's teacher, of random weights; several are "
        "timed after each other. Default: the config's",
    )
    parser.add_argument(
        '--terms',
        type=int,
        nargs='+',
        default=[],
        metavar='N',
        help="only the first N of the config's terms; several are timed after each "
        'other. Default: all',
    )
    parser.add_argument(
        '--processes',
        type=int,
        nargs='+',
        default=[],
        help='also time the config by so many data-parallel processes, e.g. 1 2',
    )
    parser.add_argument(
        '--threads', type=int, default=1, help='of each process, on CPUs. Default: 1'
    )
    parser.add_argument(
        '--cpu-time',
        action='store_true',
        help="count the process's CPU seconds, not those of the clock, on a machine "
        'that does other work beside; not for GPUs, nor for --processes',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--real-data',
        action='store_true',
        help="one batch of the config's training set instead of random images",
    )
    parser.add_argument('--no-memory', action='store_true', help="don't measure memory")
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change settings of every config, as for train',
    )
    parser.add_argument(
        '--out',
        default='work_dirs/benchmark',
        help='folder of performance.md, .json, .csv, .svg and .png. '
        "Default: '%(default)s'",
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    numbers = [args.rounds, args.threads, *args.batch_size]
    if min(*numbers, *args.processes, *args.terms) < 1 or args.warm_up < 0:
        parser.error(
            '--rounds, --threads, --batch-size, --terms, --processes: at least 1'
        )


def run(args: argparse.Namespace) -> None:
    """Measure, or list what could be."""
    with experiment_process():
        from mmvitkd.experiments.benchmark.benchmark import benchmark, list_variants

        if args.list:
            print(list_variants())
            return
        benchmark(args)
