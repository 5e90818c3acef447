"""Forwards, timed side by side; the memory of each by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from ..benchmark.measure import max_rss
from ..fork import apart, reason
from ..results import Spread
from ..timing import relative, time_rounds
from .models import Source, Variant, graph_of, prepare

FORWARDS = 3  # that a peak of memory is seen in


@dataclass(frozen=True)
class Latency:
    """What was measured of a variant."""

    variant: Variant
    p50: float  # seconds a batch
    p95: float
    ratio: Spread  # to the first variant of its batch size and threads
    memory: int  # bytes at the peak, beyond the imports' on a CPU
    size: int  # bytes on disk

    @property
    def images_per_second(self) -> float:
        """Images of a second, by the median."""
        return self.variant.batch_size / self.p50


def measure(
    variants: Sequence[Variant], rounds: int, warm_up: int
) -> tuple[list[Latency], dict[str, str]]:
    """Time variants of one batch size and number of threads in turn.

    Args:
        variants: The first that runs is what others are compared with.
        rounds: How many forwards of each count.
        warm_up: How many before do not.

    Returns:
        What was measured; and by the name of a variant that did not run, the reason.
    """
    threads = variants[0].threads
    graphs, without = _graphs(variants)
    able = [one for one in variants if one.name not in without]
    times, sizes, left_out = apart(threads, _time, able, graphs, rounds, warm_up)
    left_out = without | left_out
    if not times:
        return [], left_out
    ratios = relative(times, next(iter(times)))
    found = []
    for variant in variants:
        if variant.name in times:
            seconds = times[variant.name]
            found.append(
                Latency(
                    variant,
                    median(seconds),
                    quantiles(seconds, n=20, method='inclusive')[-1],
                    Spread(*ratios[variant.name]),
                    apart(threads, _memory, variant, graphs.get(variant.source, b'')),
                    sizes[variant.name],
                )
            )
    return found, left_out


def _graphs(
    variants: Sequence[Variant],
) -> tuple[dict[Source, bytes], dict[str, str]]:
    """Make the ONNX models, in processes whose memory is not measured.

    Returns:
        By their sources; and by the names of the variants that lack one, the reason.
    """
    graphs: dict[Source, bytes] = {}
    left_out: dict[str, str] = {}
    for variant in variants:
        if variant.takes_graph and variant.source not in graphs:
            try:
                graphs[variant.source] = apart(1, _graph, variant.source)
            except ValueError as error:
                left_out[variant.name] = str(error)
    return graphs, left_out


def _graph(source: Source) -> bytes:
    _in_silence()
    return graph_of(source)


def _time(
    variants: Sequence[Variant],
    graphs: Mapping[Source, bytes],
    rounds: int,
    warm_up: int,
) -> tuple[dict[str, list[float]], dict[str, int], dict[str, str]]:
    _in_silence()
    torch.manual_seed(0)
    runs, sizes, left_out = {}, {}, {}
    for variant in variants:
        try:
            run, size = prepare(variant, graphs.get(variant.source, b''))
            run()
        except Exception as error:  # of a runtime, each of its own kind
            left_out[variant.name] = reason(error)
            continue
        runs[variant.name], sizes[variant.name] = run, size
    return time_rounds(runs, rounds, warm_up), sizes, left_out


def _memory(variant: Variant, graph: bytes) -> int:
    """Return the bytes at the peak of some forwards."""
    _in_silence()
    on_gpu = variant.device != 'cpu'
    before = 0 if on_gpu else max_rss()
    run, _ = prepare(variant, graph)
    for _ in range(FORWARDS):
        run()
    peak = torch.cuda.max_memory_allocated() if on_gpu else max_rss()
    return peak - before


def _in_silence() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
