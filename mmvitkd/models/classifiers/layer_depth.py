"""How deep a parameter lies, for layer-wise learning rate decay."""

from typing import Any

from mmpretrain.models import TimmClassifier
from torch import nn

from mmvitkd.utils.blocks import find_blocks


def layer_depth(classifier: Any, name: str) -> tuple[int, int]:
    """Return a parameter's depth and the number of depths.

    MMPretrain's models tell it, of timm's the library; of any other it is the number of
    the block in which it lies. What comes before the blocks has depth 0.

    Args:
        classifier: The model.
        name: Of its parameter. One that it has not counts as the last.

    Raises:
        ValueError: If the model has no blocks.
    """
    try:
        return classifier.get_layer_depth(name)
    except (AttributeError, NotImplementedError):
        depths = _of_timm(classifier) or _of_blocks(classifier)
    last = max(depths.values())
    return depths.get(name, last), last + 1


def _of_timm(classifier: Any) -> dict[str, int]:
    """Ask timm, as its own layer-wise decay does."""
    if not isinstance(classifier, TimmClassifier):
        return {}
    from timm.models import group_parameters

    if not hasattr(classifier.model, 'group_matcher'):
        return {}
    matcher = classifier.model.group_matcher(coarse=False)
    depths = group_parameters(classifier.model, matcher, reverse=True)
    return {f'model.{name}': depth for name, depth in depths.items()}


def _of_blocks(classifier: nn.Module) -> dict[str, int]:
    """Count blocks; what lies between two belongs to the first of them."""
    paths = {module: name for name, module in classifier.named_modules()}
    names = [name for name, _ in classifier.named_parameters()]
    blocks = sorted(
        (f'{paths[block]}.' for block in find_blocks(classifier)),
        key=lambda path: next(i for i, n in enumerate(names) if n.startswith(path)),
    )
    if not blocks:
        raise ValueError(
            'layer-wise decay needs a model of blocks, of which there are none in '
            f'{type(classifier).__name__}: leave layer_decay_rate out'
        )
    inside = {
        name: number
        for name in names
        for number, block in enumerate(blocks, 1)
        if name.startswith(block)
    }
    depths, depth, left = {}, 0, len(inside)
    for name in names:
        if name in inside:
            depth, left = inside[name], left - 1
        elif not left:
            depth = len(blocks) + 1
        depths[name] = depth
    return depths
