"""Evaluate a checkpoint: of a distiller without its teacher, or a plain one.

A config of mmdet, mmseg or mmpose is evaluated, and its predictions drawn, by that.
"""

import argparse
from pathlib import Path

from .options import add_shared_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='file or URL of the weights')
    parser.add_argument(
        '--work-dir',
        help='folder for the log and the metrics. '
        'Default: work_dirs/<name of the config>',
    )
    parser.add_argument(
        '--out',
        help='where to write the predictions: to a .pkl file; of a classifier, the '
        "predicted and true labels (2, N) to a .npy file; a segmentor's label maps "
        'into a folder',
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out shall hold: the metrics (.json, .yml, .pkl) or every '
        'prediction. Default: pred',
    )
    parser.add_argument('--metrics', help='.json file to write the metrics to')
    parser.add_argument('--amp', action='store_true', help='test in mixed precision')
    parser.add_argument('--show-dir', help='folder to draw the predictions into')
    parser.add_argument(
        '--show', action='store_true', help='show the predictions in a window'
    )
    parser.add_argument(
        '--interval',
        type=int,
        default=1,
        help="draw every so many of a classifier's images. Default: 1",
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window stays. Default: 2',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation: by the config's tta_model and tta_pipeline, or "
        'merging the predictions of an image and its mirror image',
    )
    add_shared_arguments(parser)


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that don't go together."""
    if args.out is None and args.out_item is not None:
        parser.error('--out-item says what to write, --out=FILE where')
    if args.out and not Path(args.out).parent.is_dir():
        parser.error(f"--out={args.out}: there is no folder '{Path(args.out).parent}'")
    pred = args.out is not None and args.out_item != 'metrics'
    if pred and args.out.endswith(('.json', '.yml', '.yaml')):
        parser.error('predictions are written to a .pkl file: --out=FILE.pkl')
    if args.interval < 1:
        parser.error(f'--interval {args.interval}: give 1 or more')
    if args.show_dir and Path(args.show_dir).is_file():
        parser.error(f'--show-dir {args.show_dir} is a file: give a folder')
    if args.metrics is not None and not args.metrics.endswith('.json'):
        parser.error(f'--metrics is a .json file, got {args.metrics}')


def run(args: argparse.Namespace) -> None:
    """Evaluate."""
    from mmvitkd.engine.testing import test

    test(args)
