"""Train by a config: a distiller, or a teacher or student alone."""

import argparse

from .options import add_shared_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints, which must hold no other run. '
        'Default: work_dirs/<name of the config>',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without one, from the newest in the work dir '
        'that can be read, or from the beginning if there is none',
    )
    parser.add_argument(
        '--override-optim',
        action='store_true',
        help="resume with the config's learning rate, weight decay and the like, and "
        "its schedules, instead of the checkpoint's; the optimiser's state stays",
    )
    parser.add_argument(
        '--try',
        dest='trial',
        action='store_true',
        help='try a few steps of everything, training, validation, checkpoint, export '
        'and test, in a folder that is removed again, and tell how long a whole run '
        'takes',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 with loss scaling, on CPUs bfloat16',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help="don't validate during training"
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's auto_scale_lr.base_batch_size "
        'to the batch of all processes',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help="don't keep the data loaders' workers between the epochs",
    )
    add_shared_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Train."""
    from mmvitkd.engine.training import train

    train(args)
