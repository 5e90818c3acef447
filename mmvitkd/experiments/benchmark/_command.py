"""Time a distillation config beside the student alone, the teacher alone and others.

    python tools/benchmark.py
    python tools/benchmark.py configs/digits/vitkd_digits.py --rounds 5
    python tools/benchmark.py --only student teacher config --batch-size 16 32 64

Every round runs one step of each variant, so that what else the machine does falls on
all alike; ratios are taken within a round. See docs/benchmark.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from itertools import product
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
# asking for GPUs must not start CUDA, which would not survive a fork
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

import torch
from ablation_lib.runs import versions
from benchmark_lib.measure import (
    Case,
    apart,
    is_cuda,
    peak_memory,
    time_variants,
)
from benchmark_lib.plot import draw
from benchmark_lib.processes import time_processes
from benchmark_lib.report import Record, markdown, write
from benchmark_lib.stored import hold, store
from benchmark_lib.variants import VARIANTS, check, choose
from mmengine.config import Config, DictAction

from mmvitkd.engine.training import enable_amp
from mmvitkd.utils.cli import load_config

ROOT = Path(__file__).resolve().parents[1]
PAIR = 'configs/vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'configs', nargs='*', metavar='CONFIG', help=f"a distiller's. Default: {PAIR}"
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='VARIANT',
        help='; '.join(f'{variant.name}: {variant.what}' for variant in VARIANTS)
        + '. Default: all that apply',
    )
    parser.add_argument('--rounds', type=int, default=20, help='Default: 20')
    parser.add_argument(
        '--warm-up', type=int, default=2, help='rounds that do not count. Default: 2'
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        nargs='+',
        default=[16],
        help='images of a step of one process; several are timed after each other. '
        'Default: 16',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs='+',
        default=[None],
        help='height and width of the images, for student and teacher; several are '
        'timed after each other. Default: what the student was made for',
    )
    add_how_to_measure(parser)
    args = parser.parse_args()
    numbers = [args.rounds, args.threads, *args.batch_size, *args.processes]
    if min(numbers) < 1 or args.warm_up < 0:
        parser.error('--rounds, --threads, --batch-size, --processes: at least 1')
    if args.processes and is_cuda() and max(args.processes) > torch.cuda.device_count():
        parser.error(f'--processes: there are {torch.cuda.device_count()} GPUs')
    if args.cpu_time and is_cuda():
        parser.error('--cpu-time: a GPU works while the CPU waits')
    return args


def add_how_to_measure(parser: argparse.ArgumentParser) -> None:
    """Add the options that change how, not what, is measured."""
    parser.add_argument(
        '--processes',
        type=int,
        nargs='+',
        default=[],
        help='also time the config by so many data-parallel processes, e.g. 1 2',
    )
    parser.add_argument(
        '--threads', type=int, default=1, help='of each process, on CPUs. Default: 1'
    )
    parser.add_argument(
        '--cpu-time',
        action='store_true',
        help="count the process's CPU seconds, not those of the clock, on a machine "
        'that does other work beside; not for GPUs, nor for --processes',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--real-data',
        action='store_true',
        help="one batch of the config's training set instead of random images",
    )
    parser.add_argument('--no-memory', action='store_true', help="don't measure memory")
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of every config, as for tools/train.py',
    )
    parser.add_argument(
        '--out',
        default='work_dirs/benchmark',
        help='folder of performance.md, .json, .csv, .svg and .png. '
        "Default: '%(default)s'",
    )


def read(path: str, args: argparse.Namespace) -> Config:
    """Read a config as ``tools/train.py`` does.

    Raises:
        ValueError: If it is missing, or none of a distiller.
    """
    like_train = argparse.Namespace(
        config=path,
        cfg_options=args.cfg_options,
        launcher='none',
        local_rank=0,
        work_dir=None,
    )
    cfg = load_config(like_train)
    check(cfg, path)
    if args.amp:
        enable_amp(cfg)
    return cfg


def title(
    path: str, batch_size: int, image_size: int | None, others: Sequence[str] = ()
) -> str:
    """Name a case; its config by the whole path where another has the same name."""
    size = f', {image_size} pixels' if image_size else ''
    stem = Path(path).stem
    twice = any(Path(p).stem == stem for p in others if p != path)
    return f'{path if twice else stem}, batch {batch_size}{size}'


def measure(name: str, case: Case, args: argparse.Namespace) -> Record:
    """Measure time, memory and, if asked for, several processes of a case.

    Raises:
        ValueError: If a variant that was asked for by name does not apply or fails.
    """
    device = 'cuda' if is_cuda() else 'cpu'
    variants = choose(args.only, device)
    applying = [variant for variant in variants if variant.config(case.cfg) is not None]
    print(f'{name}: {", ".join(variant.name for variant in applying)}', flush=True)
    if args.only and len(applying) < len(variants):
        unfit = next(variant for variant in variants if variant not in applying)
        raise ValueError(f'--only {unfit.name} does not apply to {name}')
    timed = apart(case.threads, time_variants, applying, case)
    for failed, reason in timed['left_out'].items():
        if args.only or failed == 'config':
            raise ValueError(f'{failed}: {reason}')
    memory, processes = {}, {}
    for variant in applying:
        # what is stored comes from a teacher that was there, and would count
        stored = variant.finish in (hold, store)
        measured = variant.trains and not stored and not args.no_memory
        if measured and variant.name in timed['times']:
            print(f'{name}: memory of {variant.name}', flush=True)
            memory[variant.name] = apart(case.threads, peak_memory, variant, case)
    if args.processes:
        print(f'{name}: {args.processes} processes', flush=True)
        config = next(variant for variant in VARIANTS if variant.name == 'config')
        processes = time_processes(config, case, args.processes)
    return {
        'title': name,
        'batch_size': case.batch_size,
        'rounds': args.rounds,
        'what': {variant.name: variant.what for variant in applying},
        **timed,
        'memory': memory,
        'processes': {str(count): seconds for count, seconds in processes.items()},
    }


def device_name() -> str:
    if is_cuda():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if 'model name' in line]
    return f'{names[0] if names else model}, {os.cpu_count()} cores'


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    results: Record = {
        'command': shlex.join(['python', 'tools/benchmark.py', *sys.argv[1:]]),
        'date': date.today().isoformat(),
        'device': apart(args.threads, device_name),  # CUDA starts in there
        'threads': args.threads,
        'cpu_time': args.cpu_time,
        'amp': args.amp,
        'versions': versions(),
        'cases': [],
    }
    try:
        for path in args.configs or [str(ROOT / PAIR)]:
            cfg = read(path, args)
            for batch_size, image_size in product(args.batch_size, args.image_size):
                with tempfile.TemporaryDirectory() as folder:
                    case = Case(
                        cfg=cfg,
                        batch_size=batch_size,
                        image_size=image_size,
                        real_data=args.real_data,
                        rounds=args.rounds,
                        warm_up=args.warm_up,
                        threads=args.threads,
                        cpu_time=args.cpu_time,
                        folder=Path(folder),
                    )
                    name = title(path, batch_size, image_size, args.configs)
                    results['cases'].append(measure(name, case, args))
                out.mkdir(parents=True, exist_ok=True)
                write(results, out / 'performance')
    except ValueError as error:
        sys.exit(f'error: {error}')
    draw(results, out / 'performance')
    print(markdown(results))


if __name__ == '__main__':
    main()
