"""What makes a model one that can be compiled, while its taps are read."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from mmvitkd.utils.blocks import find_blocks

from .tap import Tap, find_module


def compile_blocks(model: nn.Module, taps: Iterable[Tap], **options: Any) -> None:
    """Compile what lies between taps, whose hooks a compiled forward can't run.

    Args:
        model: Whose blocks they are.
        taps: Of the model; a block with one inside is left as it is.
        options: Of ``torch.compile``.
    """
    tapped = [find_module(model, part.path) for tap in taps for part in tap.parts]
    for block in find_blocks(model):
        inner = [module for module in block.modules() if module is not block]
        if not any(module in tapped for module in inner):
            block.forward = torch.compile(block.forward, **options)


def keep_plain_numbers(model: nn.Module) -> None:
    """Turn NumPy's numbers among the settings of modules into Python's.

    MMPretrain's drop path rates are such. To dynamo they are tensors, so that every
    ``if`` on one would break the graph.
    """
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, np.number):
                setattr(module, name, value.item())
