import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch import Tensor
from torch.utils.data import Sampler

from mmvitkd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class WeightedSampler(Sampler):
    """Take the parts of a concatenated data set by weight, in every epoch.

    A part's images are taken in a shuffled order, each once before any comes again,
    over as many epochs as that takes; the parts lie evenly over an epoch, so that
    batches hold them in nearly equal shares. The order follows from the seed and the
    epoch, and so does a resumed run's. The processes take turns.

    Args:
        dataset: A ``ConcatDataset``.
        weights: Of its parts, each above 0: their shares of an epoch.
        num_samples: How many images an epoch has. Defaults to None: as many as there
            are.
        seed: Of the order. Defaults to None: the run's.
        round_up: Whether all processes get equally many images. Defaults to True.

    Raises:
        ValueError: If the weights don't suit the parts.
    """

    def __init__(
        self,
        dataset: Any,
        weights: Sequence[float],
        num_samples: int | None = None,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        sizes = [len(part) for part in getattr(dataset, 'datasets', ())]
        if not sizes or len(sizes) != len(weights):
            raise ValueError(
                f'WeightedSampler: {len(weights)} weights, but the data set '
                f'({type(dataset).__name__}) has {len(sizes)} parts: give a '
                'ConcatDataset and a weight for each of its datasets'
            )
        if not all(0 < weight < math.inf for weight in weights):
            raise ValueError(
                f'weights={list(weights)} must be above 0: leave out a data set that '
                'is not to be seen'
            )
        if num_samples is not None and num_samples < 1:
            raise ValueError(f'num_samples must be at least 1, got {num_samples}')
        if not all(sizes):
            raise ValueError(f'WeightedSampler: a part is empty, of {sizes} images')
        self.sizes = sizes
        every = sum(sizes) if num_samples is None else num_samples
        self.counts = _shares(weights, every)
        self.seed = sync_random_seed() if seed is None else seed
        self.round_up = round_up
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()
        total = sum(self.counts)
        self.num_samples = (
            -(-total // self.world_size)
            if round_up
            else len(range(self.rank, total, self.world_size))
        )

    def __iter__(self) -> Iterator[int]:
        """Yield this process's part of an epoch."""
        order = self._epoch().tolist()
        missing = (
            self.num_samples * self.world_size - len(order) if self.round_up else 0
        )
        order += [order[i % len(order)] for i in range(missing)]
        return iter(order[self.rank :: self.world_size])

    def __len__(self) -> int:
        """How many images this process gets in an epoch."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch = epoch

    def _epoch(self) -> Tensor:
        """Return the indices of an epoch, of all processes."""
        found, places, first = [], [], 0
        draw = torch.Generator()
        for part, (size, count) in enumerate(zip(self.sizes, self.counts, strict=True)):
            found.append(first + self._turn(part, size, count))
            draw.manual_seed(_mixed(self.seed, part, self.epoch))
            # somewhere in each of as many equal pieces of the epoch
            offset = torch.rand(count, generator=draw, dtype=torch.float64)
            places.append((torch.arange(count) + offset) / max(count, 1))
            first += size
        return torch.cat(found)[torch.cat(places).argsort(stable=True)]

    def _turn(self, part: int, size: int, count: int) -> Tensor:
        """Return a part's images of this epoch: the next ones of its endless order."""
        start = self.epoch * count
        passes = range(start // size, (start + count - 1) // size + 1)
        draw, orders = torch.Generator(), []
        for number in passes if count else ():
            draw.manual_seed(_mixed(self.seed, part, number) + 1)
            orders.append(torch.randperm(size, generator=draw))
        if not orders:
            return torch.zeros(0, dtype=torch.long)
        begin = start - passes[0] * size
        return torch.cat(orders)[begin : begin + count]


def _shares(weights: Sequence[float], total: int) -> list[int]:
    """Divide an epoch by weight: whole numbers, the largest remainders first."""
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(value) for value in exact]
    by_rest = sorted(range(len(exact)), key=lambda i: shares[i] - exact[i])
    for i in by_rest[: total - sum(shares)]:
        shares[i] += 1
    return shares


def _mixed(seed: int, part: int, number: int) -> int:
    """Make a seed of three numbers, even, so that the odd ones are free."""
    return ((seed * 1_000_003 + part) * 1_000_003 + number) % 2**62 * 2
