"""Train by a config: a distiller, or a teacher or student alone."""

import argparse
import subprocess
import sys

from .options import add_fast_data, add_shared_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        'config',
        nargs='+',
        help='path of the config; of several, each is trained after the other, so that '
        'one may learn from the student of the one before',
    )
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
    add_fast_data(parser)
    add_shared_arguments(parser)


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what several runs can't share."""
    if len(args.config) == 1:
        return
    for option, given in (
        ('--work-dir', args.work_dir is not None),
        ('--resume CHECKPOINT', args.resume not in (None, 'auto')),
        ('--launcher', args.launcher != 'none'),
    ):
        if given:
            parser.error(f'{option} is of one config, and {len(args.config)} are given')


def run(args: argparse.Namespace) -> None:
    """Train by the config, or by one after the other."""
    if len(args.config) > 1:
        _train_in_turn(args)
        return
    from mmvitkd.engine.training import train

    (args.config,) = args.config
    train(args)


def _train_in_turn(args: argparse.Namespace) -> None:
    """Train in a process for each config, until one fails."""
    from mmvitkd.experiments.worker import importable

    options = [arg for arg in args.arguments if arg not in args.config]
    for config in args.config:
        command = [sys.executable, '-m', 'mmvitkd', 'train', config, *options]
        code = subprocess.run(command, env=importable(), check=False).returncode
        if code:
            sys.exit(
                f"error: '{config}' ended with code {code}; --resume goes on from it"
            )
