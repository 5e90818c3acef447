"""Judge frozen features by k-NN and a linear classifier, of any model.

    python -m mmvitkd probe CONFIG CHECKPOINT --out OUT
    python -m mmvitkd probe timm:deit_tiny_patch16_224 --data CONFIG --out OUT

The training images of the config (or of --data) are the neighbours, and what the linear
classifier is fitted to; its test images are classified. It writes OUT/probe.json and
keeps the features in OUT, where another k finds them again. Under torchrun, with
--launcher pytorch, the processes share the images.
"""

import argparse
import math
from pathlib import Path

from .options import CfgOptions, add_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        'model',
        metavar='CONFIG',
        help="a config, an 'mmpretrain::' name, 'timm:NAME' or 'hf:NAME'. Of a "
        'distillation, the student is taken',
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='file or URL of the weights, which timm and Hugging Face fetch if it is '
        'left out',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    parser.add_argument(
        '--data',
        metavar='CONFIG',
        help="config whose images to take. Default: the model's own config",
    )
    parser.add_argument(
        '--split',
        choices=['test', 'val'],
        default='test',
        help='which images are classified. Default: %(default)s',
    )
    parser.add_argument(
        '--k',
        type=int,
        nargs='*',
        default=[10, 20],
        help='numbers of neighbours; none leaves k-NN out. Default: 10 20',
    )
    parser.add_argument(
        '--temperature',
        type=float,
        default=0.07,
        help="of the neighbours' votes. Default: %(default)s, as DINO's",
    )
    parser.add_argument(
        '--strength',
        type=float,
        nargs='*',
        metavar='C',
        help="of the linear classifier, scikit-learn's C; of several, that which does "
        'best on a tenth of the training images held out. None leaves it out. Default: '
        '1e-5 to 10 in powers of ten',
    )
    parser.add_argument(
        '--max-images',
        type=int,
        metavar='N',
        help='how many training images, of every class in its proportion. Default: all',
    )
    parser.add_argument(
        '--tap',
        metavar='PATH',
        help='module whose tokens are the features. Default: what the last layer of '
        'the model takes',
    )
    parser.add_argument(
        '--tokens',
        choices=['cls', 'patch'],
        default='cls',
        help="the tap's class token, or the mean of its patches. Default: %(default)s",
    )
    parser.add_argument(
        '--prefix', default='', help='take the weights below it, such as student.'
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
        help='change settings of the config whose images are taken',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who started the processes of a distributed run. Default: none',
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse values that make no sense."""
    for name, least in (('batch_size', 1), ('workers', 0), ('max_images', 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'--{name.replace("_", "-")} must be at least {least}')
    for name in ('k', 'strength', 'temperature'):
        values = getattr(args, name)
        values = [values] if isinstance(values, float) else values or []
        if not all(0 < value < math.inf for value in values):
            parser.error(f'--{name} must be above 0')
    if not args.k and args.strength == []:
        parser.error('--k and --strength are both empty: there is nothing to do')
    if args.out.exists() and not args.out.is_dir():
        parser.error(f'--out {args.out} is a file: give a folder')


def run(args: argparse.Namespace) -> None:
    """Print the accuracies and write them."""
    from mmvitkd.utils.libraries import optional_libraries

    with optional_libraries():
        from mmvitkd.inspection.probe import probe

        probe(args)
