"""What a model costs in time: images per second."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import torch
from torch import nn

IMAGE_SIZE = (32, 32)
BATCH = 100
REPEATS = 5


@torch.no_grad()
def measure_speeds(models: dict[str, nn.Module], rounds: int = 7) -> dict[str, float]:
    """Measure the images per second of several models, which take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name, model in models.items():
            device = next(model.parameters()).device
            inputs = torch.zeros(BATCH, 3, *IMAGE_SIZE, device=device)
            start = perf_counter()
            for _ in range(REPEATS):
                model(inputs)
            if device.type == 'cuda':
                torch.cuda.synchronize()
            if turn > 0:  # the first turn warms up
                seconds[name].append((perf_counter() - start) / REPEATS)
    return {name: BATCH / median(times) for name, times in seconds.items()}
