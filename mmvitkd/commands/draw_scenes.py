"""Draw a small data set for detection and segmentation: digits over photographs.

    python -m mmvitkd draw-scenes data/digit-scenes

Every scene holds a few of scikit-learn's scanned digits, enlarged to different sizes,
over part of a photograph that comes with scikit-learn or scikit-image. OUT/coco has
the scenes with boxes and masks in COCO's format, OUT/ade the same scenes with label
maps in ADE20K's. Nothing is downloaded.

Scenes to train on and to validate on share neither scans nor photographs. The same
seed gives the same scenes; with a larger number of them, the first stay the same.
"""

import argparse
import sys
from pathlib import Path

from .experiment_options import check_positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('out', type=Path, help='folder of the data set, made if needed')
    parser.add_argument('--seed', type=int, default=0, help='Default: 0')
    parser.add_argument(
        '--train', type=int, default=300, help='scenes to train on. Default: 300'
    )
    parser.add_argument(
        '--val', type=int, default=100, help='scenes to validate on. Default: 100'
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

        draw_scenes(args.out, args.seed, args.train, args.val)
    except (ValueError, ImportError) as error:
        sys.exit(f'error: {error}')
