"""What a model costs: parameters, multiply-adds, images per second."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from mmengine.analysis import FlopAnalyzer
from torch import nn

IMAGE_SIZE = (3, 32, 32)
BATCH = 100
REPEATS = 5


def count_parameters(model: nn.Module) -> int:
    """Count all parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: nn.Module) -> int:
    """Count the multiply-adds of one image, as MMPretrain's model zoo does.

    MMEngine's counter passes over fused attention; it is added here.
    """

    def attention(inputs: list[Any], outputs: list[Any]) -> int:
        query, key = inputs[0].type().sizes(), inputs[1].type().sizes()
        # queries times keys, then weights times values
        return 2 * int(np.prod(query)) * key[-2]

    device = next(model.parameters()).device
    counter = FlopAnalyzer(model, (torch.zeros(1, *IMAGE_SIZE, device=device),))
    counter.set_op_handle('aten::scaled_dot_product_attention', attention)
    return int(counter.total())


@torch.no_grad()
def measure_speeds(models: dict[str, nn.Module], rounds: int = 7) -> dict[str, float]:
    """Measure the images per second of several models, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            device = next(model.parameters()).device
            inputs = torch.zeros(BATCH, *IMAGE_SIZE, device=device)
            start = perf_counter()
            for _ in range(REPEATS):
                model(inputs)
            if device.type == 'cuda':
                torch.cuda.synchronize()
            if turn > 0:  # the first turn warms up
                seconds[name].append((perf_counter() - start) / REPEATS)
    return {name: BATCH / median(times) for name, times in seconds.items()}
