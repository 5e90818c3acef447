"""A model's parts, whichever library it is of."""

from torch import nn


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """List a transformer's blocks.

    They are the innermost items of the model's ``ModuleList``s, and of the
    ``Sequential``s of one class that timm has in their place: so the blocks of a Swin's
    stages rather than the stages.
    """
    rows = [m for m in model.modules() if _is_row(m)]
    return [
        item
        for row in rows
        for item in row.children()
        if any(True for _ in item.parameters())
        and not any(_is_row(m) for m in item.modules())
    ]


def input_channels(model: nn.Module) -> int | None:
    """Return how many channels a model's first convolution takes, if it has one."""
    convs = (m for m in model.modules() if isinstance(m, nn.Conv2d))
    first = next(convs, None)
    return None if first is None else first.in_channels


def _is_row(module: nn.Module) -> bool:
    """Whether a module repeats one with parts of its own, or a list of any."""
    items = list(module.children())
    if isinstance(module, nn.ModuleList):
        return bool(items)
    kinds = {type(item) for item in items}
    return (
        isinstance(module, nn.Sequential)
        and len(items) > 1
        and len(kinds) == 1
        and any(True for _ in items[0].children())
    )
