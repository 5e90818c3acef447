"""A model's repeated parts."""

from torch import nn


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """List a transformer's blocks.

    They are the innermost items of the model's ``ModuleList``s, so the blocks of a
    Swin's stages rather than the stages.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    return [
        item
        for items in lists
        for item in items
        if any(True for _ in item.parameters())
        and not any(isinstance(m, nn.ModuleList) and len(m) for m in item.modules())
    ]
