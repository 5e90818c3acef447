from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import DefaultSampler

from mmvitkd.registry import DATA_SAMPLERS

from .replayed_dataset import ReplayedDataset


@DATA_SAMPLERS.register_module()
class ReplaySampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, which hands the epoch on with every index.

    So the epoch reaches the loader's workers, also those that persist, and a resumed
    run's. Where the dataset mixes images and they are shuffled, two partners come one
    after the other, so that batches of even size hold both. Arguments as for
    ``DefaultSampler``.

    Raises:
        ValueError: If the dataset is no :class:`ReplayedDataset`.
    """

    dataset: ReplayedDataset
    epoch: int

    def __init__(self, dataset: ReplayedDataset, **kwargs: int | bool | None) -> None:
        if not isinstance(dataset, ReplayedDataset):
            raise ValueError(
                'ReplaySampler is for a ReplayedDataset or a CachedDataset, got '
                f'{type(dataset).__name__}'
            )
        super().__init__(dataset, **kwargs)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield epoch and index."""
        epoch = self.epoch
        paired = self.shuffle and self.dataset.mixing is not None
        indices = self._pairs() if paired else super().__iter__()
        return ((epoch, index) for index in indices)

    def _pairs(self) -> Iterator[int]:
        """Deal all pairs, shuffled, out to the processes in turn.

        So one process and several see the same images in a step of all.
        """
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.dataset), generator=generator).numpy()
        partners = self.dataset.partners(self.epoch)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        ones = order[place[order] < place[partners[order]]]  # one of each pair
        both = np.stack([ones, partners[ones]], axis=1).ravel()
        single = order[partners[order] == order]  # of an odd number, one
        # from the beginning again, if need be
        every = np.resize(np.concatenate([both, single]), self.total_size)
        world = self.world_size
        turns = self.total_size // (2 * world)
        dealt = every[: turns * 2 * world].reshape(turns, world, 2)[:, self.rank]
        left = every[turns * 2 * world :]
        counts = [
            len(range(r, self.total_size, world)) - 2 * turns for r in range(world)
        ]
        begin = sum(counts[: self.rank])
        last = left[begin : begin + counts[self.rank]]
        return iter([*dealt.ravel().tolist(), *last.tolist()])

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; the dataset is told in the main process."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)
