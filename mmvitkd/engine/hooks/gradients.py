"""Gradients that are accumulated and not yet applied, kept over a checkpoint."""

from typing import Any

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmvitkd.utils.cli import unwrap

GRADIENTS = 'accumulated'  # a checkpoint's key


def _wrappers(runner: Any) -> dict[str, Any]:
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        return dict(wrapper.items())
    return {'': wrapper}


def accumulation(runner: Any) -> int:
    """Return how many iterations an update takes, the most if there are several."""
    counts = [getattr(w, '_accumulative_counts', 1) for w in _wrappers(runner).values()]
    # DeepSpeed's engine counts by itself
    config = getattr(getattr(runner, 'strategy', None), 'config', {})
    return max(*counts, config.get('gradient_accumulation_steps', 1))


def learning_rates(runner: Any) -> dict[int, float]:
    """Return the learning rate of every trained parameter, by its ``id``."""
    groups = [g for w in _wrappers(runner).values() for g in w.param_groups]
    return {id(p): group['lr'] for group in groups for p in group['params']}


def is_accumulating(runner: Any) -> bool:
    """Whether the iterations that are done leave gradients without an update."""
    return runner.iter % accumulation(runner) != 0 and runner.iter != runner.max_iters


def gather_gradients(runner: Any) -> dict[str, Any] | None:
    """Collect every process's accumulated gradients; all must call it.

    Returns:
        The optimiser wrappers' counts, and by process ``{parameter: gradient}``, on the
        CPU. None if nothing is accumulated, or a strategy holds the gradients.
    """
    if accumulation(runner) == 1 or not isinstance(runner, Runner):
        return None
    parameters = dict(unwrap(runner.model).named_parameters())
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    held = torch.tensor([p.grad is not None for p in trained.values()])
    anywhere = torch.stack(all_gather(held)).any(0).tolist()
    shares: list[dict[str, torch.Tensor]] = [{} for _ in range(get_world_size())]
    for (name, p), is_held in zip(trained.items(), anywhere, strict=True):
        if not is_held:
            continue
        own = torch.zeros_like(p) if p.grad is None else p.grad
        for share, gradient in zip(shares, all_gather(own), strict=True):
            if get_rank() == 0:  # who writes
                share[name] = gradient.cpu().clone()
    counts = {name: w._inner_count for name, w in _wrappers(runner).items()}
    return {'counts': counts, 'gradients': shares}


def restore_gradients(runner: Any, saved: dict[str, Any] | None) -> None:
    """Give this process's gradients and counts back to a run that goes on."""
    if saved is None or not isinstance(runner, Runner):
        return
    for name, wrapper in _wrappers(runner).items():
        wrapper._inner_count = saved['counts'].get(name, wrapper._inner_count)
    shares = saved['gradients']
    if len(shares) != get_world_size():
        return
    parameters = dict(unwrap(runner.model).named_parameters())
    for name, gradient in shares[get_rank()].items():
        parameters[name].grad = gradient.to(parameters[name]).clone()
    if shares[get_rank()]:
        print_log('accumulated gradients are restored', logger='current')
