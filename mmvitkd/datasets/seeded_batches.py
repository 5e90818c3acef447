from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

from mmvitkd.utils.seeds import Stream, derive_seed, seed_cpu

from .replayed_dataset import seeded


class _SeededIndices(Sequence):
    """The indices of one batch; whoever goes through them draws by the batch's seed.

    So the seed reaches a loader's worker with the batch, and its transforms.
    """

    def __init__(self, indices: list[Any], seed: int) -> None:
        self.indices = indices
        self.seed = seed

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        return self.indices[place]

    def __iter__(self) -> Iterator[Any]:
        seed_cpu(self.seed)
        return iter(self.indices)


class SeededBatches(Sampler):
    """A batch sampler whose batches carry seeds, and which can begin anywhere.

    What is random about a batch follows from the run's seed, the batch's number since
    the run began and the process's rank, so it does not depend on what was drawn
    before, nor on which worker loads it. To begin at a later batch, only indices are
    drawn and dropped; no image is read.

    Args:
        batches: The batch sampler that it stands for.
        seed: The run's.
        rank: Of the process.
        endless: Whether to begin the data anew when they end, as a loop by
            iterations does. Defaults to False.
    """

    def __init__(
        self, batches: Iterable, seed: int, rank: int, endless: bool = False
    ) -> None:
        self.batches: Any = batches
        # where MMEngine's hooks look for them
        self.sampler: Any = getattr(batches, 'sampler', None)
        self.batch_size = getattr(batches, 'batch_size', None)
        self.drop_last = getattr(batches, 'drop_last', False)
        self.seed = seed
        self.rank = rank
        self.endless = endless
        self.begin(0)

    def begin(self, first: int, skip: int = 0) -> None:
        """Tell where the next iteration begins.

        Args:
            first: How many batches the run had before these data.
            skip: How many of these to leave out. Defaults to 0.
        """
        self._first, self._skip = first, skip

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[_SeededIndices]:
        """Yield the batches from the place that :meth:`begin` named."""
        number, passes = self._first, 0
        start = number + self._skip
        while True:
            first, source = number, iter(self.batches)
            while (indices := self._draw(source, number)) is not None:
                if number >= start:
                    seed = derive_seed(self.seed, Stream.BATCH, number, self.rank)
                    yield _SeededIndices(indices, seed)
                number += 1
            if not self.endless or number == first:
                return
            passes += 1
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(passes)

    def _draw(self, source: Iterator, number: int) -> list[Any] | None:
        """Draw a batch's indices; samplers may use the streams of this process."""
        with seeded(derive_seed(self.seed, Stream.ORDER, number, self.rank)):
            indices = next(source, None)
        return None if indices is None else list(indices)
