"""What a step has the host and the device do, counted."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from ..benchmark.measure import Loop, is_cuda
from ..fork import reason
from .measure import Plan, make_loop
from .rows import Row

WARM_UP = 12  # steps; the first ones are checked more closely
COPIES = 'aten::copy_'
ALLOCATIONS = ('aten::empty', 'aten::empty_strided', 'aten::resize_')


def count_row(row: Row, plan: Plan, folder: Path, seconds: float) -> dict[str, Any]:
    """Count what a step of each of a row's entries does; as for :func:`time_row`.

    Returns:
        ``counts`` by the entry's name, and why some are ``left_out``.
    """
    end = monotonic() + seconds
    counts: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for entry in row.entries:
        if counts and monotonic() > end:
            left_out[entry.name] = 'the time of its row was over'
            continue
        try:
            counts[entry.name] = count_step(make_loop(entry, plan, folder))
        except Exception as error:  # of any library; the others go on
            left_out[entry.name] = reason(error)
    return {'title': row.name, 'counts': counts, 'left_out': left_out}


def count_step(loop: Loop, warm_up: int = WARM_UP) -> dict[str, Any]:
    """Count what one step of a loop does.

    Returns:
        ``operators``, those of torch that call no other; ``allocations`` and ``copies``
        among them; ``kernels`` and ``memory copies`` of a GPU; ``synchronisations``,
        by the place in the code, where there is a GPU that tells.
    """
    for _ in range(warm_up):
        loop.step()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_cuda()
    with profile(activities=activities) as profiler:
        loop.step()
    events = profiler.events() or []
    leaves = [event.name for event in events if _is_leaf(event)]
    on_device = [e.name for e in events if e.device_type.name == 'CUDA']
    moved = [name for name in on_device if name.startswith(('Memcpy', 'Memset'))]
    found: dict[str, Any] = {
        'operators': len(leaves),
        'allocations': sum(name in ALLOCATIONS for name in leaves),
        'copies': leaves.count(COPIES),
    }
    if is_cuda():
        found['kernels'] = len(on_device) - len(moved)
        found['memory copies'] = len(moved)
        found['synchronisations'] = _synchronisations(loop)
    return found


def _is_leaf(event: FunctionEvent) -> bool:
    inner = any(child.name.startswith('aten::') for child in event.cpu_children)
    return event.name.startswith('aten::') and not inner


def _synchronisations(loop: Loop) -> dict[str, int]:
    """Count where a training step waits for the GPU, as torch tells it."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            loop.runner.model.train_step(loop.batch, loop.optim_wrapper)
        finally:
            torch.cuda.set_sync_debug_mode('default')
    places = [
        f'{"/".join(Path(one.filename).parts[-2:])}:{one.lineno}'
        for one in told
        if 'synchroniz' in str(one.message)
    ]
    return dict(Counter(places))
