"""Options that several commands have."""

import argparse
from typing import Any


class CfgOptions(argparse.Action):
    """MMEngine's ``KEY=VALUE`` options, which is imported when one is given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Read the values by MMEngine's own rules."""
        from mmengine.config import DictAction

        action = DictAction(self.option_strings, self.dest, nargs=self.nargs)
        action(parser, namespace, values, option_string)


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
