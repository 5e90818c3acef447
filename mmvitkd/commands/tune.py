"""Tune settings of a config by the validation split: search ranges, or try a list.

    python -m mmvitkd tune configs/digits/vitkd_digits.py \\
        --teacher configs/digits/digits_teacher.py --search \\
        'model.terms.mimic0.loss.loss_weight=log(1e-5,1e-1)' \\
        'model.terms.gen.loss.loss_weight=log(1e-6,1e-2)' --trials 30
    python -m mmvitkd tune configs/tuning/digits-vitkd.py --seeds 100 101 102

A search is an Optuna study in the work dir. The same command goes on where the last one
stopped, and with more --trials adds to it. A file like those in configs/tuning names a
config, and ranges or a list of tries. All trials have the same seeds; the test split is
not looked at.
"""

import argparse
import sys
from pathlib import Path

from . import experiment_options as shared
from .options import CfgOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        'file',
        type=Path,
        help="a training's config, or a file like those in configs/tuning",
    )
    parser.add_argument(
        '--search',
        nargs='+',
        action='extend',
        metavar='KEY=RANGE',
        help='settings, by their names in --cfg-options, each with log(LOW,HIGH), '
        'float(LOW,HIGH[,STEP]), int(LOW,HIGH[,STEP]) or choice(A,B,..), in quotes',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change settings of the config for all trials, e.g. '
        'train_cfg.val_interval=5',
    )
    parser.add_argument(
        '--trials',
        type=int,
        metavar='N',
        help='that the study is to have in all. Default: 20, or the whole grid',
    )
    parser.add_argument(
        '--sampler',
        choices=['tpe', 'random', 'grid'],
        help='what chooses values: by what earlier trials measured, by chance, or all '
        'combinations of choices and steps. Default: tpe',
    )
    parser.add_argument(
        '--sampler-seed', type=int, metavar='SEED', help="the sampler's. Default: 0"
    )
    parser.add_argument(
        '--no-pruning',
        action='store_true',
        help='train all trials to their end, also those that fall below the median of '
        'the others',
    )
    parser.add_argument(
        '--study', metavar='NAME', help="of a search. Default: the file's name"
    )
    parser.add_argument(
        '--teacher',
        metavar='FILE',
        help="the teacher's weights, or the config that it is trained by, once",
    )
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[100, 101],
        metavar='SEED',
        help='of every trial; others than those of a later test. Default: 100 101',
    )
    shared.add_max_epochs(parser)
    shared.add_running(parser, 'work_dirs/tuning')


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be, and what is no range."""
    shared.check_positive(parser, args, 'max_epochs', 'trials')
    if args.teacher and not Path(args.teacher).is_file():
        parser.error(f"--teacher '{args.teacher}' does not exist")
    if len({*args.seeds}) < len(args.seeds):
        parser.error(f'--seeds {" ".join(map(str, args.seeds))}: one comes twice')


def run(args: argparse.Namespace) -> None:
    """Tune."""
    with shared.experiment_process():
        from mmvitkd.experiments.tuning.tune import tune

        sys.exit(tune(args))
