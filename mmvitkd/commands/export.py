"""Write the student of a distillation checkpoint as an ordinary MMPretrain one."""

import argparse
import hashlib
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('checkpoint', help='checkpoint of a distillation run')
    parser.add_argument('out', help='file to write, e.g. student.pth')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--ema',
        action='store_true',
        default=None,
        help='the averaged weights. Default: those that the run validated with, the '
        'averaged ones if it had any',
    )
    which.add_argument(
        '--raw', action='store_false', dest='ema', default=None, help='the raw weights'
    )
    parser.add_argument(
        '--config',
        help="the run's config: writes the student's plain config beside OUT, as .py",
    )
    parser.add_argument(
        '--force', action='store_true', help='write over existing files'
    )
    parser.add_argument(
        '--drop-dist-token',
        action='store_true',
        help="leave DeiT's distillation token out, with its position and its head: a "
        'plain ViT, whose predictions are others',
    )


def run(args: argparse.Namespace) -> None:
    """Write the student, and tell its digest."""
    from mmvitkd.utils.export import export_student

    out = export_student(
        args.checkpoint,
        args.out,
        args.ema,
        args.config,
        args.force,
        args.drop_dist_token,
    )
    print(f'{out} (sha256 {hashlib.sha256(Path(out).read_bytes()).hexdigest()})')
    if args.config is not None:
        print(out.with_suffix('.py'))
