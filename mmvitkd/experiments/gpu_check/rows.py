"""What a check of a GPU measures, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mmvitkd.utils.own_configs import own_configs

from ..benchmark.variants import Variant
from .variants import PRECISIONS, gpu_variants

VITKD = 'vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'
TINY = 'digits/vitkd_digits.py'
# small students under the teacher of VITKD, and the pairs of the paper
METHODS = '*/*_deit-tiny_deit3-small_8xb128_in1k.py'
TINY_METHODS = 'ma*/*_digits.py'
PAIRS = 'vitkd/vitkd_*_8xb128_in1k.py'
AMP = 'float16'  # what the aims are for
MODELS = ('student', 'teacher')


class Entry(NamedTuple):
    """One of what is timed side by side."""

    name: str
    what: str
    config: str  # below the folder of configs
    variant: Variant
    precision: str


class Row(NamedTuple):
    """Entries that take turns, and what share of the time they have."""

    name: str
    share: float
    entries: list[Entry]
    counted: bool = False  # synchronisations and kernels, instead of time


def list_rows(tiny: bool) -> list[Row]:
    """List the rows, the most important ones first.

    Args:
        tiny: Whether to try the machinery alone, on a CPU: digits, compiled no further
            than to a graph.
    """
    variants = gpu_variants('eager' if tiny else 'inductor')
    config, amp = (TINY, 'bfloat16') if tiny else (VITKD, AMP)

    def entries(*names: str, config: str = config) -> list[Entry]:
        chosen = [variants[name] for name in names]
        return [Entry(v.name, v.what, config, v, amp) for v in chosen]

    cost = entries(*MODELS, 'released', 'config', 'kd', 'nkd')
    counted = entries('student', 'config', 'one-by-one')
    compiled = ('student-compile', 'teacher-compile', 'terms-compile', 'compile')
    whole = entries('compile')[0]._replace(name='compile, float32', precision='float32')
    ways = (
        'sparse', 'channels-last', 'fused', 'one-by-one', 'teacher-stream',
        'teacher-graph', 'checkpointing', 'whole-teacher',
    )  # fmt: skip
    rows = [
        Row('ViTKD, KD and NKD', 3, cost),
        Row('what the host waits for', 1, counted, counted=True),
        Row('precision', 3, [*_precisions(config, variants, amp)]),
        # under AMP dynamo may not see through MMEngine's contexts
        Row('compiled', 4, [*entries(*MODELS, 'config', *compiled), whole]),
        Row('how a step is run', 2, entries(*MODELS, 'config', *ways)),
        Row('methods', 3, [*_methods(tiny, config, variants, amp)]),
    ]
    pairs = [TINY] if tiny else _names(PAIRS)
    return rows + [
        Row(pair_name(pair), 1, entries(*MODELS, 'config', config=pair))
        for pair in pairs
    ]


def pair_name(config: str) -> str:
    """Name a pair by its student and its teacher."""
    return 'pair ' + ' under '.join(_stem(config).split('_')[1:3])


def _precisions(config: str, variants: dict[str, Variant], amp: str) -> Iterable[Entry]:
    """List the config and its models in every precision, and teachers in fewer bits."""
    for precision in PRECISIONS:
        for name in (*MODELS, 'config'):
            # the ratios are to those of mixed precision
            label = name if precision == amp else f'{name}, {precision}'
            what = f'{variants[name].what}, {precision}'
            yield Entry(label, what, config, variants[name], precision)
    for name in ('teacher-bf16', 'teacher-fp8'):
        yield Entry(name, variants[name].what, config, variants[name], amp)


def _methods(
    tiny: bool, config: str, variants: dict[str, Variant], amp: str
) -> Iterable[Entry]:
    """List all methods under one teacher, with the models that they share."""
    for name in MODELS:
        yield Entry(name, variants[name].what, config, variants[name], amp)
    for method in _names(TINY_METHODS if tiny else METHODS):
        name = _stem(method).split('_')[0]
        yield Entry(name, method, method, variants['config'], amp)


def _names(pattern: str) -> list[str]:
    folder = own_configs()
    found = sorted(folder.glob(pattern))
    return [path.relative_to(folder).as_posix() for path in found]


def _stem(config: str) -> str:
    return config.rpartition('/')[2].removesuffix('.py')
