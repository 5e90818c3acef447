"""Options that several commands have."""

import argparse
from pathlib import Path
from typing import Any


class CfgOptions(argparse.Action):
    """MMEngine's ``KEY=VALUE`` options; their reader is imported when one is given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the options to those that were given before."""
        from mmvitkd.utils.config_file import read_option
        from mmvitkd.utils.errors import readable_errors

        with readable_errors():
            read = dict(map(read_option, values))
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **read})


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add which images models are shown, and where to write."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--images', metavar='DIR', help='folder of images')
    source.add_argument(
        '--data', metavar='CONFIG', help="config whose test images to take, or val's"
    )
    parser.add_argument('--out', required=True, type=Path, help='folder to write')
    parser.add_argument(
        '--count', type=int, default=64, help='how many images. Default: %(default)s'
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where models run."""
    parser.add_argument('--device', help='Default: the GPU, else the CPU')


def add_fast_data(parser: argparse.ArgumentParser) -> None:
    """Add how the training images are made."""
    parser.add_argument(
        '--fast-data',
        choices=['same-pixels', 'same-distribution'],
        help='make the training images in less time by transforms that stand for the '
        "config's: to the rounding of the resize, or of the same distribution",
    )


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing have in common."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. train_cfg.max_epochs=10; lists as '
        'key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help="don't pin the data loaders' memory (done where there is a GPU)",
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who started the processes of a distributed run. Default: none',
    )
    # torch.distributed.launch passes one or the other, torchrun neither
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
    )
