"""Run the teachers of a distillation config once, and store their outputs.

    python -m mmvitkd cache configs/digits/vitkd-nkd_digits.py --out OUT
    python -m mmvitkd train OUT/vitkd-nkd_digits_cached.py

For every image and epoch it keeps the seed of the augmentation, the top k of the
logits, and in float16 what else the terms tap. It goes on where it was stopped. Several
processes share the work: start the same command in each, or
`torchrun --nproc-per-node N -m mmvitkd cache CONFIG --out OUT`.
"""

import argparse
from pathlib import Path

from .options import add_fast_data, add_shared_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('config', help='of a distillation')
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    parser.add_argument(
        '--epochs',
        type=int,
        help='how many to store; training goes through them again and again. Default: '
        "the config's train_cfg.max_epochs",
    )
    parser.add_argument(
        '--top-k',
        type=int,
        metavar='K',
        help='of the logits; the others share the rest of the mass. Default: 10',
    )
    parser.add_argument(
        '--seed',
        type=int,
        help="of the augmentations. Default: the config's randomness.seed, or 0",
    )
    parser.add_argument(
        '--batch-size', type=int, help="Default: the training data loader's"
    )
    parser.add_argument(
        '--shard-size',
        type=int,
        help='images of a file. Default: 32768, or fewer so that it is below 64 MiB',
    )
    parser.add_argument('--device', help="Default: the process's GPU, else the CPU")
    parser.add_argument(
        '--dry-run', action='store_true', help='tell size and time, and write nothing'
    )
    parser.add_argument(
        '--verify',
        type=int,
        metavar='N',
        help='check all checksums of OUT, and compare N stored outputs with new ones',
    )
    add_fast_data(parser)
    add_shared_arguments(parser)
    parser.set_defaults(work_dir=None)


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse values that make no sense."""
    for name in ('epochs', 'batch_size', 'shard_size', 'verify'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1')
    if args.out.exists() and not args.out.is_dir():
        parser.error(f'--out {args.out} is a file: give a folder')
    if args.launcher not in ('none', 'pytorch'):
        parser.error(
            f'--launcher {args.launcher}: the processes need not know each other; '
            'start them by torchrun, or each by itself'
        )


def run(args: argparse.Namespace) -> None:
    """Write the cache, or verify it."""
    from mmvitkd.caching.cache import cache_teacher

    cache_teacher(args)
