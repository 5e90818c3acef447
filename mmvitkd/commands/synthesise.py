"""Make images of a teacher with BatchNorm, to distil without any data.

    python -m mmvitkd synthesise CONFIG --count 140000 --out OUT

It writes OUT/train/CLASS/NUMBER.png, as many of every class, and OUT/manifest.json.
Noise is changed until the teacher sees the wanted class in it, and the inputs of its
BatchNorms have the statistics that these have stored (DeepInversion), while images of a
class are kept from being alike (DF-DearKD). The same command goes on where it was
stopped.
"""

import argparse
import math
from pathlib import Path

from .options import CfgOptions, add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('config', help='of a distillation, whose teacher is asked')
    parser.add_argument(
        '--count', type=int, required=True, metavar='N', help='how many images'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    parser.add_argument('--teacher', metavar='NAME', help='which one, of several')
    parser.add_argument('--seed', type=int, default=0, help='Default: 0')
    parser.add_argument(
        '--size', type=int, help="of the images. Default: the config's training images'"
    )
    parser.add_argument(
        '--batch-size', type=int, default=84, help='images at a time. Default: 84'
    )
    parser.add_argument(
        '--images-per-class',
        type=int,
        default=4,
        metavar='N',
        help='that are made together. Default: 4',
    )
    parser.add_argument(
        '--coarse-steps',
        type=int,
        default=2000,
        metavar='N',
        help='at half of the size. Default: 2000',
    )
    parser.add_argument(
        '--steps', type=int, default=1000, help='at the whole size. Default: 1000'
    )
    parser.add_argument(
        '--lr', type=float, default=0.25, help="Adam's rate. Default: 0.25"
    )
    parser.add_argument(
        '--jitter',
        type=int,
        metavar='PIXELS',
        help='that images are shifted by at most. Default: 30 of 224',
    )
    parser.add_argument(
        '--no-flip',
        dest='flip',
        action='store_false',
        help='do not mirror images, as of digits',
    )
    for name, default, what in (
        ('statistics', 0.01, "of the BatchNorms' statistics"),
        ('variation', 1e-4, 'of the total variation'),
        ('norm', 1e-5, "of the pixels' norm"),
        ('divergence', 1.0, 'of the likeness of images of the same class'),
        ('competition', 0.2, "of the student's agreement with the teacher"),
    ):
        parser.add_argument(
            f'--{name}-weight',
            type=float,
            default=default,
            metavar='W',
            help=f'{what}. Default: {default:g}',
        )
    parser.add_argument(
        '--easy',
        type=float,
        default=0.5,
        metavar='P',
        help='images are kept from being alike whose class has this probability by the '
        'teacher, and which the student tells too. Default: 0.5',
    )
    parser.add_argument(
        '--student',
        metavar='CHECKPOINT',
        help="of the config's student: make images on which it and the teacher differ",
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
    for name, least in (
        ('count', 1),
        ('size', 2),
        ('batch_size', 2),
        ('images_per_class', 1),
        ('coarse_steps', 0),
        ('steps', 1),
        ('jitter', 0),
        ('seed', 0),
    ):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'--{name.replace("_", "-")} must be at least {least}')
    for name in ('statistics', 'variation', 'norm', 'divergence', 'competition'):
        if not 0 <= getattr(args, f'{name}_weight') < math.inf:
            parser.error(f'--{name}-weight must be at least 0')
    if not 0 < args.lr < math.inf:
        parser.error('--lr must be above 0')
    if not 0 <= args.easy <= 1:
        parser.error('--easy must be from 0 to 1')
    if args.out.exists() and not args.out.is_dir():
        parser.error(f'--out {args.out} is a file: give a folder')


def run(args: argparse.Namespace) -> None:
    """Write the images and the manifest."""
    from mmvitkd.synthesis.synthesise import synthesise

    synthesise(args)
