"""Options of the commands that carry out many runs."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmvitkd.experiments.schedule import Launcher


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add what runs are done by."""
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


def add_running(parser: argparse.ArgumentParser, work_dir: str) -> None:
    """Add the devices, and whether and where runs are done."""
    add_devices(parser)
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
        default=Path(work_dir),
        help="folder of the runs. Default: '%(default)s'",
    )


def check_positive(
    parser: argparse.ArgumentParser, args: argparse.Namespace, *names: str
) -> None:
    """Refuse numbers below 1."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')


def choose_launcher(args: argparse.Namespace, gpus: int = 1) -> 'Launcher':
    """Make what runs are done by, and complete ``args.gpus`` and ``args.jobs``.

    Args:
        args: As the command line has them.
        gpus: Of each run, where the command line doesn't say. Defaults to 1.

    Raises:
        ValueError: If a device is not there, or an option of Slurm is unknown.
    """
    from mmvitkd.experiments.schedule import Devices, Local, visible_gpus

    if args.slurm is not None:
        args.gpus = gpus if args.gpus is None else args.gpus
        args.jobs = args.jobs or 64
        from mmvitkd.experiments.cluster import Cluster

        folder = args.work_dir / 'slurm'
        return Cluster(folder, args.gpus, args.jobs, read_options(args.slurm))
    visible = visible_gpus()
    if args.gpus is None:
        args.gpus = min(gpus, len(visible))
    if not 0 <= args.gpus <= len(visible):
        raise ValueError(f'--gpus {args.gpus}, but there are {len(visible)}')
    most = len(visible) // args.gpus if args.gpus else len(os.sched_getaffinity(0))
    args.jobs = most if args.jobs is None else args.jobs
    if args.jobs < 1 or (args.gpus and args.jobs > most):
        raise ValueError(
            f'--jobs {args.jobs}: at least 1'
            + (f', and {most} at most with --gpus {args.gpus}' if args.gpus else '')
        )
    if not args.gpus:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''  # nothing is timed on a GPU either
    return Local(Devices(args.gpus, args.jobs, visible))


def read_options(pairs: list[str]) -> dict[str, str | int]:
    """Read ``KEY=VALUE`` pairs.

    Raises:
        ValueError: If one has no ``=``.
    """
    found: dict[str, str | int] = {}
    for pair in pairs:
        key, equals, value = pair.partition('=')
        if not (key and equals):
            raise ValueError(f"--slurm {pair}: give KEY=VALUE, as in 'partition=gpu'")
        found[key] = int(value) if value.isdigit() else value
    return found


def prepare_environment() -> None:
    """Set what forks of this process need; before torch is imported."""
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    # asking for GPUs must not start CUDA, which would not survive a fork
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')


@contextmanager
def ending_in_words() -> Iterator[None]:
    """End with one line when the user stops it; name a library that is missing."""
    from mmvitkd.utils.libraries import optional_libraries

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with optional_libraries():
            yield
    except KeyboardInterrupt:
        sys.exit('stopped: give the same command to go on')
    finally:
        signal.signal(signal.SIGTERM, before)
