"""What a model costs: parameters and multiply-adds."""

from typing import Any

import numpy as np
from mmengine.analysis import FlopAnalyzer
from torch import nn

from .blocks import input_channels


def count_parameters(model: nn.Module) -> int:
    """Count all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module, image_size: tuple[int, int]) -> int:
    """Count the multiply-adds of one image, as MMPretrain's model zoo does.

    MMEngine's counter passes over fused attention; it is added here.

    Args:
        model: A classifier in eval mode.
        image_size: Height and width.
    """
    return int(_counter(model, image_size).total())


def count_module_flops(model: nn.Module, image_size: tuple[int, int]) -> dict[str, int]:
    """Count the multiply-adds of every module, by its path; ``''`` is the whole.

    Arguments as for :func:`count_flops`.
    """
    by_module = _counter(model, image_size).by_module()
    return {path: int(flops) for path, flops in by_module.items()}


def _counter(model: nn.Module, image_size: tuple[int, int]) -> FlopAnalyzer:
    def attention(inputs: list[Any], outputs: list[Any]) -> int:
        query, key, value = (tensor.type().sizes() for tensor in inputs[:3])
        # queries times keys, then weights times values
        return int(np.prod(query[:-1])) * key[-2] * (query[-1] + value[-1])

    channels = input_channels(model) or 3
    image = next(model.parameters()).new_zeros(1, channels, *image_size)
    counter = FlopAnalyzer(model, (image,))
    counter.set_op_handle('aten::scaled_dot_product_attention', attention)
    # it names what costs nothing beside the products: sums, activations
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return counter
