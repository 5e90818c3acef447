"""Draw a small data set for detection and segmentation: images over photographs.

    python -m mmvitkd draw-scenes data/digit-scenes
    python -m mmvitkd draw-scenes data/fashion-mnist-scenes --dataset fashion-mnist

Every scene holds a few of scikit-learn's scanned digits, or of Fashion-MNIST's
articles, enlarged to different sizes, over part of a photograph that comes with
scikit-learn or scikit-image. OUT/coco has the scenes with boxes and masks in COCO's
format, OUT/ade the same scenes with label maps in ADE20K's. Nothing is downloaded but
Fashion-MNIST, where it isn't there.

Scenes to train on and to validate on share neither images nor photographs. The same
seed gives the same scenes; with a larger number of them, the first stay the same.
"""

import argparse
import sys
from pathlib import Path

from mmvitkd.experiments.scenes import PROTOCOLS

from .experiment_options import check_positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('out', type=Path, help='folder of the data set, made if needed')
    parser.add_argument(
        '--dataset',
        choices=PROTOCOLS,
        default='digits',
        help="whose images are drawn. Default: '%(default)s'",
    )
    parser.add_argument('--seed', type=int, default=0, help='Default: 0')
    for name, purpose in (('train', 'train'), ('val', 'validate')):
        numbers = [f'{getattr(p, name)} of {d}' for d, p in PROTOCOLS.items()]
        parser.add_argument(
            f'--{name}',
            type=int,
            help=f'scenes to {purpose} on. Default: {", ".join(numbers)}',
        )
    parser.add_argument(
        '--tuning',
        action='store_true',
        help='the scenes to validate on show validation images instead of test images, '
        'over photographs of their own: to choose settings by',
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    check_positive(parser, args, 'train', 'val')
    if not 0 <= args.seed < 2**32:
        parser.error(f'--seed must be from 0 to 2**32 - 1, got {args.seed}')


def run(args: argparse.Namespace) -> None:
    """Draw the scenes."""
    try:
        from mmvitkd.experiments.scenes.draw import draw_scenes

        draw_scenes(
            args.out, args.dataset, args.seed, args.train, args.val, args.tuning
        )
    except (ValueError, ImportError) as error:
        sys.exit(f'error: {error}')
