"""Time and memory of a row's entries, within the seconds that it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch

from mmvitkd.utils.config_file import open_config
from mmvitkd.utils.own_configs import own_configs

from ..benchmark.measure import Case, Loop, is_cuda
from ..fork import reason
from ..timing import time_rounds
from .rows import Entry, Row
from .variants import set_precision

LEAST_ROUNDS = 3
MOST_ROUNDS = 30
BUILDING = 0.75  # of a row's time; the rest is for the rounds


class Plan(NamedTuple):
    """What holds for all rows."""

    batch_size: int
    threads: int
    most_rounds: int = MOST_ROUNDS


def make_loop(entry: Entry, plan: Plan, folder: Path) -> Loop:
    """Build an entry's training.

    Raises:
        ValueError: If it does not apply, or needs another device.
    """
    cfg = open_config(own_configs() / entry.config)
    set_precision(cfg, entry.precision)
    case = Case(
        cfg=cfg,
        batch_size=plan.batch_size,
        image_size=None,
        real_data=False,
        rounds=plan.most_rounds,
        warm_up=1,
        threads=plan.threads,
        cpu_time=False,
        folder=folder,
    )
    return Loop(entry.variant, case)


def time_row(row: Row, plan: Plan, folder: Path, seconds: float) -> dict[str, Any]:
    """Time a row's entries side by side.

    An entry that fails, or for which no time is left, is left out, with the reason.

    Args:
        row: What is timed.
        plan: Of all rows.
        folder: For what is thrown away afterwards.
        seconds: About how long it may take.

    Returns:
        What the page of ``benchmark`` takes of a case.
    """
    start = monotonic()
    steps: dict[str, Callable[[], object]] = {}
    memory: dict[str, dict[str, int]] = {}
    left_out: dict[str, str] = {}
    for entry in row.entries:
        if steps and monotonic() - start > BUILDING * seconds:
            left_out[entry.name] = 'the time of its row was over'
            continue
        try:
            loop, memory[entry.name] = _started(entry, plan, folder)
        except Exception as error:  # of any library; the others go on
            left_out[entry.name] = reason(error)
            continue
        steps[entry.name] = loop.step
    return {
        'title': row.name,
        'batch_size': plan.batch_size,
        'what': {entry.name: entry.what for entry in row.entries},
        **_rounds(steps, plan, start + seconds),
        'memory': {name: held for name, held in memory.items() if held},
        'left_out': left_out,
        'split': {},
        'processes': {},
    }


def _started(entry: Entry, plan: Plan, folder: Path) -> tuple[Loop, dict[str, int]]:
    """Build an entry and run its first steps, which compile and check.

    Returns:
        The loop, and the bytes that a GPU needed for it at its peak, with those of its
        teachers' weights; nothing on CPUs, and of what does not train.
    """
    before = 0
    if is_cuda():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    loop = make_loop(entry, plan, folder)
    for _ in range(LEAST_ROUNDS):
        loop.step()
    if not is_cuda() or not entry.variant.trains:
        return loop, {}
    models = [t.model for t in loop.model.teachers.values() if t.model is not None]
    weights = [tensor for model in models for tensor in model.state_dict().values()]
    return loop, {
        'peak': torch.cuda.max_memory_allocated() - before,
        'teacher': sum(tensor.nbytes for tensor in weights),
    }


def _rounds(
    steps: dict[str, Callable[[], object]], plan: Plan, end: float
) -> dict[str, Any]:
    """Run as many rounds as there is time for."""
    start = monotonic()
    time_rounds(steps, 1, 0)
    one = monotonic() - start
    fitting = int((end - monotonic()) / one) if steps else 0
    rounds = max(min(fitting, plan.most_rounds), min(LEAST_ROUNDS, plan.most_rounds))
    return {'rounds': rounds, 'times': time_rounds(steps, rounds, 0)}
