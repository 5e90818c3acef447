"""A student without the blocks that its training has learnt to skip."""

from typing import Any

from mmengine.config import ConfigDict
from torch import Tensor

from mmvitkd.registry import MODELS

from .types import class_of

SKIPPING = 'block_skipping'  # a checkpoint's key: what BlockSkippingHook keeps there


def kept_blocks(checkpoint: dict[str, Any]) -> tuple[str, list[int]] | None:
    """Tell which blocks a checkpoint's student runs.

    Returns:
        The path of the list of blocks and the numbers of those that are kept; None if
        the training skipped none, as it had no gates.

    Raises:
        ValueError: If all are skipped.
    """
    state = checkpoint.get(SKIPPING)
    if state is None:
        return None
    kept = [i for i, (skip, run) in enumerate(state['logits'].tolist()) if run > skip]
    if not kept:
        raise ValueError(
            f"all {len(state['logits'])} blocks of '{state['blocks']}' are skipped, so "
            'no student is left: train with a larger budget, or a smaller '
            'resource_weight'
        )
    return state['blocks'], kept


def without_skipped(
    weights: dict[str, Tensor], blocks: str, kept: list[int]
) -> dict[str, Tensor]:
    """Leave the other blocks' weights out, and number the kept ones anew."""
    numbers = {str(old): str(new) for new, old in enumerate(kept)}
    left = {}
    for name, weight in weights.items():
        if name.startswith(f'{blocks}.'):
            number, _, rest = name.removeprefix(f'{blocks}.').partition('.')
            if number not in numbers:
                continue
            name = f'{blocks}.{numbers[number]}.{rest}'
        left[name] = weight
    return left


def holder_of(model: ConfigDict, blocks: str) -> ConfigDict:
    """Return the part of a classifier's config that has the list of blocks."""
    for name in blocks.split('.')[:-1]:
        model = model.get(name) or ConfigDict()
    return model


def make_shallower(model: ConfigDict, blocks: str, kept: list[int]) -> None:
    """Write a classifier's config for its kept blocks alone, in place.

    Raises:
        ValueError: If the config doesn't say how many blocks there are.
    """
    part = holder_of(model, blocks)
    arch = part.get('arch')
    if isinstance(arch, str):
        arch = class_of(part.type, MODELS).arch_zoo.get(arch.lower())
    if isinstance(arch, dict) and 'num_layers' in arch:
        part.arch = {**arch, 'num_layers': len(kept)}
    elif 'num_layers' in part:
        part.num_layers = len(kept)
    else:
        raise ValueError(
            f"the config of what holds '{blocks}' has neither an arch with num_layers "
            f'nor num_layers, so it has no place for {len(kept)} blocks: '
            f'{part.to_dict()}'
        )
    if isinstance(part.get('layer_cfgs'), (list, tuple)):
        part.layer_cfgs = [part.layer_cfgs[i] for i in kept]
