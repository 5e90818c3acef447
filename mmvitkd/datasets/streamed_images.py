from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from torch.utils.data import IterableDataset, get_worker_info

from mmvitkd.utils.seeds import Stream, derive_seed, seed_cpu

from .image_bytes import take_loader


class StreamedImages(IterableDataset):
    """Images that come one after the other, to every process and worker its own.

    Which images come, in which order, and what is random in their transforms follow
    from the run's seed, the epoch, the process and the worker. So a run can go on at
    any batch of an epoch: the images before it are read and not decoded. What tells
    the place is :class:`ExactResumeHook`, by :meth:`begin`.

    For training; it needs ``sampler=None`` in its data loader.

    Args:
        num_samples: How many images an epoch has, of all processes together. An epoch
            begins with the stream; where a worker's part of it ends before, it comes
            again.
        pipeline: Transforms, as in MMPretrain's datasets; ``LoadImageFromFile`` tells
            how images are decoded.
        classes: Names of the classes. Defaults to None.
        shuffle: How many images wait in each worker for one of them to be drawn; 0
            keeps the order of all. Defaults to 1000.

    Raises:
        ValueError: If ``num_samples`` is less than one for each process, or ``shuffle``
            below 0.
    """

    def __init__(
        self,
        num_samples: int,
        pipeline: Sequence[Any] = (),
        classes: Sequence[str] | None = None,
        shuffle: int = 1000,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        if type(num_samples) is not int or num_samples < self.world_size:
            raise ValueError(
                f'num_samples={num_samples!r}: must be a whole number of at least '
                f'{self.world_size}, the images of an epoch of all processes together'
            )
        if type(shuffle) is not int or shuffle < 0:
            raise ValueError(
                f'shuffle={shuffle!r}: must be a whole number of at least 0'
            )
        self.num_samples = num_samples
        self.shuffle = shuffle
        self.metainfo = {} if classes is None else {'classes': tuple(classes)}
        self.loader, steps = take_loader(pipeline)
        self.pipeline = Compose(steps)
        self.begin()

    def begin(
        self, seed: int = 0, epoch: int = 0, done: int = 0, batch_size: int = 1
    ) -> None:
        """Tell where the next pass through this data set begins.

        Args:
            seed: The run's.
            epoch: Its number.
            done: How many batches of it are done.
            batch_size: Of the loader.
        """
        self._seed, self._epoch = seed, epoch
        self._done, self._batch_size = done, batch_size

    def check_workers(self, workers: int) -> None:
        """Refuse a number of workers, of a loader, among which this can't be shared.

        Raises:
            ValueError: If there are too many.
        """

    def __len__(self) -> int:
        """How many images this process gets in an epoch."""
        return self.num_samples // self.world_size

    def __iter__(self) -> Iterator[Any]:
        """Yield the images of this worker, from the place that :meth:`begin` named."""
        info = get_worker_info()
        workers, number = (1, 0) if info is None else (info.num_workers, info.id)
        self.check_workers(workers)
        # a loader asks its first worker for its first batch, wherever that lies
        worker = (number + self._done) % workers
        size = self._batch_size
        batches = range(worker, -(-len(self) // size), workers)
        total = sum(min(size, len(self) - batch * size) for batch in batches)
        skipped = size * len(range(worker, self._done, workers))
        share = self.rank + self.world_size * worker
        stream = self._endless(share, self.world_size * workers)
        for place, raw in islice(enumerate(stream), skipped, total):
            seed = derive_seed(self._seed, Stream.BATCH, self._epoch, share, place)
            seed_cpu(seed)
            yield self.pipeline(self.read(raw))

    def _endless(self, share: int, shares: int) -> Iterator[Any]:
        for turn in count():
            seed = derive_seed(self._seed, Stream.ORDER, self._epoch, turn)
            empty = True
            for raw in self.pass_through(seed, share, shares):
                empty = False
                yield raw
            if empty:
                raise ValueError(f'{self}: part {share + 1} of {shares} has no images')

    @abstractmethod
    def pass_through(self, seed: int, share: int, shares: int) -> Iterator[Any]:
        """Yield a part's images once, as they are stored.

        Args:
            seed: Of the order, the same for all parts.
            share: The part's number, from 0 on.
            shares: How many parts there are.
        """

    @abstractmethod
    def read(self, raw: Any) -> dict[str, Any]:
        """Decode an image, for the transforms."""
