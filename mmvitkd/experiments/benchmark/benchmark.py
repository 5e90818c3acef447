"""What ``python -m mmvitkd benchmark`` does."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmvitkd.engine.training import enable_amp
from mmvitkd.utils.cli import load_config
from mmvitkd.utils.own_configs import own_configs

from ..fork import apart
from ..worker import versions
from .cases import vary
from .curves import draw_curves
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
    read_all = [(path, read(path, args)) for path in configs]
    for name, cfg, over in [*vary(read_all, args)]:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(
                cfg=cfg,
                batch_size=over['batch_size'],
                image_size=over['image_size'],
                real_data=args.real_data,
                rounds=args.rounds,
                warm_up=args.warm_up,
                threads=args.threads,
                cpu_time=args.cpu_time,
                folder=Path(folder),
            )
            try:
                measured = measure(name, case, args)
            except ValueError as error:
                print(f'{name} is left out: {error}', flush=True)
                failures.append(f'{name}: {error}')
                continue
        results['cases'].append({**measured, 'over': over})
        out.mkdir(parents=True, exist_ok=True)
        write(results, out / 'performance')
    if results['cases']:
        _draw(results, out)
        print(markdown(results))
    if failures:
        raise ValueError('; '.join(failures))


def _draw(results: Record, out: Path) -> None:
    draw(results, out / 'performance')
    if draw_curves(results['cases'], out / 'curves'):
        results['curves'] = 'curves.svg'
        write(results, out / 'performance')


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
