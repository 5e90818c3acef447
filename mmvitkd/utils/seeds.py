"""Seeds that follow from a run's own, so that any place of it can be begun anew."""

import random
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What draws random numbers: they must not draw the same."""

    ORDER = 0  # which images are in a batch
    BATCH = 1  # their augmentations
    STEP = 2  # all else: masks, dropped paths, Mixup


def derive_seed(
    seed: int, stream: Stream, iteration: int, rank: int, *more: int
) -> int:
    """Mix numbers into one seed, below 2**31 for NumPy and the workers."""
    mixed = np.random.SeedSequence((seed, stream, iteration, rank, *more))
    return int(mixed.generate_state(1)[0] >> 1)


def seed_cpu(seed: int) -> None:
    """Seed what transforms draw from: the streams of this process but for GPUs."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def seed_all(seed: int) -> None:
    """Seed all streams of this process, of every device."""
    seed_cpu(seed)
    torch.manual_seed(seed)
