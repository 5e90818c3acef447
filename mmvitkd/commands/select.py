"""Select unlabelled images to distil with: those most like the teacher's own.

    python -m mmvitkd select CONFIG --images FOLDER --count 650000 --out OUT

It writes OUT/scores.csv, all images with their scores, and OUT/selected.txt, the
annotation file of those with the smallest ones, as MMPretrain's CustomDataset reads it.
An image scores low if the teacher is certain of it, and its class token attends to a
part of it (Attention Probe).
"""

import argparse
import math
from pathlib import Path

from .options import CfgOptions, add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('config', help='of a distillation, whose teacher selects')
    parser.add_argument(
        '--images',
        metavar='DIR',
        help="folder of images and its subfolders. Default: the config's training set",
    )
    parser.add_argument(
        '--count', type=int, required=True, metavar='N', help='how many to select'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    parser.add_argument(
        '--with-label',
        action='store_true',
        help="write the teacher's class beside each image",
    )
    parser.add_argument('--teacher', metavar='NAME', help='which one, of several')
    parser.add_argument(
        '--layers',
        type=int,
        nargs='+',
        help='whose attention counts. Default: those at a third and two thirds of the '
        "teacher's depth, 3 and 7 of 12 as released",
    )
    parser.add_argument(
        '--head',
        type=_head,
        default=0,
        help="whose attention counts, or 'mean'. Default: 0, as released",
    )
    parser.add_argument(
        '--probe-weight',
        type=float,
        default=0.05,
        help="of every layer's attention. Default: %(default)s. The released scripts "
        'select by the answers alone: 0',
    )
    parser.add_argument(
        '--output-weight',
        type=float,
        default=0.9,
        help='of how uncertain the answer is. Default: %(default)s',
    )
    parser.add_argument('--batch-size', type=int, default=256, help='Default: 256')
    parser.add_argument(
        '--workers',
        type=int,
        help="processes that load images. Default: the training data loader's",
    )
    add_device(parser)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change settings of the config',
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse values that make no sense."""
    for name, least in (('count', 1), ('batch_size', 1), ('workers', 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'--{name.replace("_", "-")} must be at least {least}')
    for name in ('probe_weight', 'output_weight'):
        if not 0 <= getattr(args, name) < math.inf:
            parser.error(f'--{name.replace("_", "-")} must be at least 0')
    if not args.probe_weight and not args.output_weight:
        parser.error('--probe-weight and --output-weight can not both be 0')
    if args.out.exists() and not args.out.is_dir():
        parser.error(f'--out {args.out} is a file: give a folder')


def run(args: argparse.Namespace) -> None:
    """Write the scores and the annotation file."""
    from mmvitkd.inspection.select import select

    select(args)


def _head(text: str) -> int | str:
    """Read the number of a head, or ``mean``."""
    if text == 'mean' or text.isdecimal():
        return text if text == 'mean' else int(text)
    raise argparse.ArgumentTypeError(f"must be a number or 'mean', got '{text}'")
