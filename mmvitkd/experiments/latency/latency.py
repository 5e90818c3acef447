"""What ``python -m mmvitkd latency`` does."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path

import torch

from mmvitkd.export.card import validated
from mmvitkd.utils.checkpoint import load_checkpoint
from mmvitkd.utils.errors import ConfigError

from .measure import Latency, measure
from .models import COMPILED, EAGER, FLOAT32, ONNXRUNTIME, OPENVINO, Source, Variant
from .page import write

LIBRARIES = ('torch', 'onnxruntime', 'openvino')


def latency(args: argparse.Namespace) -> None:
    """Time models side by side, and write the page.

    Args:
        args: As the command reads them.

    Raises:
        ConfigError: If a file is not there, or nothing could be run.
    """
    sources = _sources(args.models, args.accuracy)
    cases: list[list[Latency]] = []
    left_out: dict[str, str] = {}
    for batch_size, threads in product(args.batch_size, args.threads):
        variants = [
            Variant(source, runtime, dtype, batch_size, threads, args.device)
            for source in sources
            for runtime in _runtimes(source, args.runtime)
            for dtype in _dtypes(source, runtime, args.dtype)
        ]
        if not variants:
            raise ConfigError(
                f'none of {[s.path for s in sources]} is run by {args.runtime}'
            )
        found, why = measure(variants, args.rounds, args.warm_up)
        left_out |= why
        for name, reason in why.items():
            print(f'left out: {name}: {reason}')
        if found:
            cases.append(found)
    if not cases:
        raise ConfigError('nothing could be run')
    write(cases, left_out, _facts(args), Path(args.out))


def _sources(paths: Sequence[str], accuracies: Sequence[float] | None) -> list[Source]:
    for path in paths:
        if not Path(path).is_file():
            raise ConfigError(f"there is no file '{path}'")
    if accuracies and len(accuracies) != len(paths):
        raise ConfigError(
            f'--accuracy has {len(accuracies)} values for {len(paths)} models'
        )
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):  # epoch_100.pth of several runs
        names = [f'{Path(path).parent.name}/{Path(path).name}' for path in paths]
    if len(set(names)) < len(names):
        names = list(paths)
    known = list(accuracies or map(_logged_accuracy, paths))
    return [Source(*one) for one in zip(paths, names, known, strict=True)]


def _logged_accuracy(path: str) -> float | None:
    """Read a checkpoint's top-1 accuracy off the log of its run."""
    if not path.endswith('.pth'):
        return None
    meta = load_checkpoint(path).get('meta') or {}
    return validated(path, meta.get('epoch')).get('accuracy/top1')


def _runtimes(source: Source, wanted: Sequence[str] | None) -> list[str]:
    """Choose what runs a model: what is wanted of what can, or what is here."""
    if wanted:
        return [name for name in wanted if name in source.runtimes]
    return [
        name
        for name in source.runtimes
        if name == EAGER or (name != COMPILED and _installed(name))
    ]


def _installed(library: str) -> bool:
    try:
        version(library)
    except PackageNotFoundError:
        return False
    return True


def _dtypes(source: Source, runtime: str, wanted: Sequence[str]) -> Sequence[str]:
    """An ONNX file has its own types, and runtimes for it take no other's."""
    if source.is_graph:
        return [FLOAT32]
    if runtime in (ONNXRUNTIME, OPENVINO):
        return [name for name in wanted if name == FLOAT32]
    return wanted


def _facts(args: argparse.Namespace) -> str:
    command = shlex.join(['python', '-m', 'mmvitkd', 'latency', *args.models])
    device = torch.cuda.get_device_name() if args.device == 'cuda' else _processor()
    versions = [f'{name} {version(name)}' for name in LIBRARIES if _installed(name)]
    return (
        f'`{command}`, {args.rounds} rounds after {args.warm_up}; '
        f'{date.today().isoformat()}; {device}; {", ".join(versions)}.'
    )


def _processor() -> str:
    """Name the processor, and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(':')
            if key.strip() == 'model name':
                name = value.strip()
                break
    return f'{name}, {len(os.sched_getaffinity(0))} cores'
