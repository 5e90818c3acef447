from collections.abc import Iterator

from mmengine.dataset import DefaultSampler

from mmvitkd.registry import DATA_SAMPLERS

from .replayed_dataset import ReplayedDataset


@DATA_SAMPLERS.register_module()
class ReplaySampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, which hands the epoch on with every index.

    So the epoch reaches the loader's workers, also those that persist, and a resumed
    run's. Arguments as for ``DefaultSampler``.

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
        return ((epoch, index) for index in super().__iter__())

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; the dataset is told in the main process."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)
