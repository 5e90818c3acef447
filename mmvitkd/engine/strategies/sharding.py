"""Splitting weights over processes: in which units, and the teachers'."""

from typing import Any

from mmengine._strategy import BaseStrategy
from torch import nn

from mmvitkd.utils.blocks import find_blocks


def require_processes(strategy: BaseStrategy) -> None:
    """Refuse a start without a launcher.

    Raises:
        ValueError: If so.
    """
    if not strategy.distributed:
        raise ValueError(
            f'{type(strategy).__name__} needs processes that know each other, also for '
            'one GPU: bash tools/dist_train.sh CONFIG 1'
        )


def sharding_units(model: nn.Module) -> list[nn.Module]:
    """List the blocks whose weights can be gathered for their own forward alone.

    A block is none of them if another uses its weights, as those of ``MiniDeiT`` do:
    what uses a module's weights names it as its ``owner``.
    """
    owners = {getattr(module, 'owner', None) for module in model.modules()}
    return [b for b in find_blocks(model) if owners.isdisjoint(b.modules())]


def shard_teachers(model: Any) -> None:
    """Leave a share of every teacher's weights on each process.

    A block's weights are gathered for its forward and dropped after it. The module
    paths stay as they are, so taps do.

    Args:
        model: A distiller on its device. The processes must be initialised.

    Raises:
        ValueError: If it has no teacher, one that is compiled, or torch is older than
            2.6.
    """
    given = getattr(model, 'teachers', {})
    # of stored outputs there is no model
    teachers = [t for t in given.values() if t.model is not None]
    if not teachers:
        raise ValueError(
            f'shard_teacher=True, but the {type(model).__name__} has no teacher with '
            'weights: leave it out'
        )
    if any(getattr(teacher, 'compile', False) for teacher in teachers):
        raise ValueError('shard_teacher=True, but a teacher has compile=True: not both')
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError as error:
        raise ValueError('shard_teacher=True needs torch 2.6 or newer') from error
    model.load_teachers()
    for teacher in teachers:
        teacher.stop_early = False  # what was gathered is dropped behind the forward
        for block in sharding_units(teacher.model):
            fully_shard(block)
        fully_shard(teacher.model, reshard_after_forward=True)
