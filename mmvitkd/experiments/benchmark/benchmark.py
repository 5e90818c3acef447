"""What ``python -m mmvitkd benchmark`` does."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import tempfile
from collections.abc import Sequence
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmvitkd.engine.training import enable_amp
from mmvitkd.utils.cli import load_config
from mmvitkd.utils.own_configs import own_configs

from ..fork import apart
from ..worker import versions
from .measure import Case, is_cuda, peak_memory, time_variants
from .plot import draw
from .processes import time_processes
from .report import Record, markdown, write
from .stored import hold, store
from .variants import VARIANTS, check, choose

PAIR = 'vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'


def list_variants() -> str:
    """Describe every variant, a line each."""
    width = max(len(variant.name) for variant in VARIANTS)
    return '\n'.join(f'{one.name:{width}}  {one.what}' for one in VARIANTS)


def benchmark(args: argparse.Namespace) -> None:
    """Measure every case, and write what was found.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If a config, a device or a variant does not suit. Of several cases
            those that can be measured are, and are written, before.
    """
    if args.processes and is_cuda() and max(args.processes) > torch.cuda.device_count():
        raise ValueError(f'--processes: there are {torch.cuda.device_count()} GPUs')
    if args.cpu_time and is_cuda():
        raise ValueError('--cpu-time: a GPU works while the CPU waits')
    out = Path(args.out)
    results: Record = {
        'command': shlex.join(
            ['python', '-m', 'mmvitkd', 'benchmark', *args.arguments]
        ),
        'date': date.today().isoformat(),
        'device': apart(args.threads, device_name),  # CUDA starts in there
        'threads': args.threads,
        'cpu_time': args.cpu_time,
        'amp': args.amp,
        'versions': versions(),
        'cases': [],
    }
    configs = args.configs or [str(own_configs() / PAIR)]
    failures: list[str] = []
    for path, cfg in [(path, read(path, args)) for path in configs]:
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
                name = title(path, batch_size, image_size, configs)
                try:
                    results['cases'].append(measure(name, case, args))
                except ValueError as error:
                    print(f'{name} is left out: {error}', flush=True)
                    failures.append(f'{name}: {error}')
                    continue
            out.mkdir(parents=True, exist_ok=True)
            write(results, out / 'performance')
    if results['cases']:
        draw(results, out / 'performance')
        print(markdown(results))
    if failures:
        raise ValueError('; '.join(failures))


def read(path: str, args: argparse.Namespace) -> Config:
    """Read a distiller's config as ``tools/train.py`` does.

    Raises:
        ValueError: If it is missing, or none of a distiller.
    """
    cfg = read_any(path, args.cfg_options)
    check(cfg, path)
    if args.amp:
        enable_amp(cfg)
    return cfg


def read_any(path: str, options: dict[str, Any] | None) -> Config:
    """Read a config of any training.

    Raises:
        ValueError: If it is missing, or can't be right.
    """
    like_train = argparse.Namespace(
        config=path,
        cfg_options=options,
        launcher='none',
        local_rank=0,
        work_dir=None,
    )
    return load_config(like_train)


def title(
    path: str, batch_size: int, image_size: int | None, others: Sequence[str] = ()
) -> str:
    """Name a case; its config by the whole path where another has the same name."""
    size = f', {image_size} pixels' if image_size else ''
    stem = Path(path).stem
    twice = any(Path(p).stem == stem for p in others if p != path)
    return f'{path if twice else stem}, batch {batch_size}{size}'


def measure(name: str, case: Case, args: argparse.Namespace) -> Record:
    """Measure time, memory and, if so wished, several processes of a case.

    Raises:
        ValueError: If a variant that was named does not apply or fails.
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
    """Name the GPU, or the processor and its cores."""
    if is_cuda():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if 'model name' in line]
    return f'{names[0] if names else model}, {os.cpu_count()} cores'
