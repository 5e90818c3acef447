"""The commands of ``python -m mmvitkd``, which the wrappers in ``tools/`` run too.

A command is a module here. Its docstring is its description; ``add_arguments(parser)``
and, if need be, ``check_arguments(parser, args)`` read the command line, ``run(args)``
does the work. A module imports at its top what is cheap, and in ``run`` the rest, so
that ``--help`` answers at once.
"""

import argparse
import difflib
import locale
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from mmvitkd.heartbeat import heartbeat, say_loading

COMMANDS = {
    'new-config': "begin a config of one's own with one of this package's",
    'train': 'train by a config: a distiller, or a teacher or student alone',
    'test': 'evaluate a checkpoint',
    'probe': 'judge frozen features by k-NN and a linear classifier',
    'export': 'write the student of a checkpoint, for MMPretrain or other programs',
    'cache': 'run the teacher once, and store its outputs for training',
    'select': 'select unlabelled images to distil with, by a teacher',
    'synthesise': 'make images of a teacher with BatchNorm, to distil without data',
    'estimate': 'tell what a distillation costs, before it is run',
    'analyse': 'see what models do with images, layer by layer',
    'advise': 'advise which layers to distil, and write a config',
    'ablate': 'run tables of ablations, and write them with their statistics',
    'compare': 'tune methods by equal tries, test them, and compare them',
    'claims': "tell which of papers' claims the measured tables bear out",
    'tune': 'tune settings of a config by the validation split',
    'benchmark': 'time distillation steps, side by side; benchmark data: its images',
    'gpu-check': 'measure on one GPU, within minutes, what no CPU can tell',
    'latency': 'time what models cost to run, side by side',
    'quickstart': 'distil on real images, from nothing to a table and a report',
    'draw-scenes': 'draw a small data set for detection and segmentation',
    'compare-scenes': 'fine-tune students on drawn scenes, and compare them',
    'report': 'lay out training runs as one HTML page',
}
# commands whose name is of two words, and their modules
TWO_WORDS = {'benchmark data': 'benchmark_data'}


def main(command: str | None = None, argv: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        command: Its name. Defaults to None: the first argument is.
        argv: Arguments. Defaults to None, those of the process.
    """
    if argv is None:
        _use_utf8()
    arguments = list(sys.argv[1:] if argv is None else argv)
    prog = None
    if command is None:
        command = _parse_command(arguments[:1])
        arguments = arguments[1:]
        prog = f'python -m mmvitkd {command}'
    longer = TWO_WORDS.get(' '.join([command, *arguments[:1]]))
    if longer is not None:
        prog = f'{prog or Path(sys.argv[0]).name} {arguments.pop(0)}'
        command = longer
    module = import_module(f'{__name__}.{command.replace("-", "_")}')
    shown = command.replace('_', ' ')  # benchmark data
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument(
        '--debug',
        action='store_true',
        help='show the traceback of a mistake, too, not only the line that tells it',
    )
    if '--cfg-options' in arguments:  # whose reader imports torch
        say_loading(shown)
    args = parser.parse_args(_name_files(arguments, shown))
    args.arguments = arguments  # for those that tell how they were called
    if hasattr(module, 'check_arguments'):
        module.check_arguments(parser, args)
    # of mmcv without compiled operations, on its import; nothing here needs this one
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention')
    say_loading(shown)
    # of a process of its own, whose streams nobody else has
    with heartbeat(shown) if argv is None else nullcontext():
        from mmvitkd.utils.errors import readable_errors  # which imports torch

        with readable_errors(args.debug):
            module.run(args)
    if argv is None:
        _leave_process_group()


def _leave_process_group() -> None:
    """Leave torch's process group, whose threads may abort a process at its end."""
    distributed = sys.modules['torch'].distributed
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _name_files(arguments: list[str], command: str) -> list[str]:
    """Put the files of this package's configs in the place of their names."""
    if not any(argument.startswith('mmvitkd::') for argument in arguments):
        return arguments
    say_loading(command)
    from mmvitkd.utils.errors import readable_errors
    from mmvitkd.utils.own_configs import PREFIX, find_own_config

    with readable_errors():
        return [
            str(find_own_config(argument)) if argument.startswith(PREFIX) else argument
            for argument in arguments
        ]


def _use_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding.

    Configs, logs and reports are UTF-8, whatever the locale of a cluster's shell is.
    """
    encoding = locale.getpreferredencoding(False).lower().replace('-', '')
    if encoding != 'utf8' and not sys.flags.utf8_mode and os.name == 'posix':
        os.environ['PYTHONUTF8'] = '1'  # for the processes that it starts
        again = [sys.executable, '-X', 'utf8', *sys.orig_argv[1:]]
        os.execv(sys.executable, again)


def _parse_command(arguments: list[str]) -> str:
    """Read the name of a command, or tell which there are."""
    if arguments and arguments[0] in COMMANDS:
        return arguments[0]
    width = max(map(len, COMMANDS))
    lines = [f'  {name:{width}}  {what}' for name, what in COMMANDS.items()]
    usage = 'usage: python -m mmvitkd COMMAND ...\n\n' + '\n'.join(lines)
    usage += '\n\npython -m mmvitkd COMMAND --help tells the options of a command'
    if arguments in (['-h'], ['--help']):
        print(usage)
        sys.exit(0)
    if not arguments:
        sys.exit(usage)
    near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ''
    sys.exit(f"error: no command '{arguments[0]}'{hint}\n{usage}")
