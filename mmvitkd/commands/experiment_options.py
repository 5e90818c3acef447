"""Options of the commands that carry out many runs."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def add_max_epochs(parser: argparse.ArgumentParser) -> None:
    """Add what cuts trainings."""
    parser.add_argument(
        '--max-epochs',
        type=int,
        help='cut every training to so many epochs, to try the machinery',
    )


def add_running(
    parser: argparse.ArgumentParser, work_dir: str, elsewhere: str = ''
) -> None:
    """Add what runs are done by, whether, and where.

    Args:
        parser: Of the command.
        work_dir: The default folder.
        elsewhere: When it is another, which the command then sees to: ``args.work_dir``
            is None without the option. Defaults to ``''``: never.
    """
    parser.add_argument(
        '--gpus',
        type=int,
        help="of each run; 0 for the CPU. Default: as many as the data set's learning "
        'rates belong to, which is 1 unless its file says otherwise',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='runs at a time. Default: as many as there are GPUs for, or one for every '
        'core',
    )
    parser.add_argument(
        '--slurm',
        nargs='*',
        metavar='KEY=VALUE',
        help='submit the runs to a Slurm cluster as a job array, e.g. --slurm '
        'partition=gpu timeout_min=240 cpus_per_task=8; --jobs is then how many run at '
        'a time (default: 64), and the work dir must be on a disk that all nodes see',
    )

    parser.add_argument(
        '--dry-run', action='store_true', help='say what would run, and how long'
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='write what is finished, run nothing; also beside a call that runs',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=None if elsewhere else Path(work_dir),
        help=f"folder of the runs. Default: '{work_dir}'{elsewhere}",
    )


def add_runs_file(parser: argparse.ArgumentParser) -> None:
    """Add what carries finished runs to other machines."""
    parser.add_argument(
        '--runs',
        type=Path,
        metavar='FILE',
        help='a small .jsonl file of finished runs: what it has is not run '
        'again, and what this call finishes is added; another machine goes on from it',
    )


def check_positive(
    parser: argparse.ArgumentParser, args: argparse.Namespace, *names: str
) -> None:
    """Refuse numbers below 1."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def experiment_process() -> Iterator[None]:
    """Set what forks of this process need, before torch is imported.

    It ends with one line when the user stops it, or a library is missing.
    """
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    # asking for GPUs must not start CUDA, which would not survive a fork
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')
    from mmvitkd.utils.libraries import optional_libraries

    try:
        with sigterm_interrupts(), optional_libraries():
            yield
    except KeyboardInterrupt:
        sys.exit('stopped: give the same command to go on')
