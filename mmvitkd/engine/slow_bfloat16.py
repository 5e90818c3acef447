"""Whether bfloat16 is slow on a CPU: without instructions for it, it is emulated."""

import time

import torch
from mmengine.config import Config
from mmengine.device import get_device

from .downstream_checks import trains_in_bfloat16

SLOW = 2.0  # times as long as float32; 5 to 200 where it was emulated, 0.2 to 0.4 else
SHAPES = (197, 192), (192, 768)  # of a layer of DeiT-Tiny
TRIES = 5


def slow_bfloat16(asked: bool) -> list[str]:
    """Say so if a run will be slow for its bfloat16.

    torch knows of some CPUs what they have; how long a product takes is true of all.

    Args:
        asked: Whether the run has any.

    Returns:
        A line, or nothing.
    """
    if not asked or get_device() != 'cpu':
        return []
    factor = _seconds(torch.bfloat16) / _seconds(torch.float32)
    if factor < SLOW:
        return []
    return [
        'warning: this CPU has no instructions for bfloat16, which is mixed precision '
        f'on CPUs: a matrix product takes {factor:.0f} times as long as in float32. '
        "Leave out --amp (or Bfloat16OptimWrapper, or a teacher's dtype)"
    ]


def uses_bfloat16(cfg: Config) -> bool:
    """Whether a training does: by our wrapper, as by ``--amp``, or in a teacher."""
    model = cfg.get('model') or {}
    teachers = {'': model.get('teacher'), **(model.get('teachers') or {})}
    halves = [t.get('dtype') for t in teachers.values() if isinstance(t, dict)]
    return trains_in_bfloat16(cfg) or 'bfloat16' in halves


def _seconds(dtype: torch.dtype) -> float:
    """Time a matrix product, the fastest of some."""
    one, other = (torch.ones(shape, dtype=dtype) for shape in SHAPES)
    times = []
    for _ in range(TRIES):
        start = time.perf_counter()
        one @ other
        times.append(time.perf_counter() - start)
    return min(times)
