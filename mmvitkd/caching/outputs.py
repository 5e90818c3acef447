"""Running the teachers: to time them, to store their outputs, to verify these."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset

from mmvitkd.datasets.cached_dataset import probe_pixels
from mmvitkd.models.classifiers.cached_feature_spec import (
    CachedFeatureSpec,
    record_dtype,
)
from mmvitkd.models.classifiers.tap import Feature, Tap
from mmvitkd.utils.teacher_cache import TeacherCache, damage

from .plan import Source
from .shards import Claims

TIMED_BATCHES = 3
# what the rounding to float16, and that of another machine, may change
TOLERANCE = 2e-3


class Times(NamedTuple):
    """Seconds that an image takes: to load in one process, and the forward."""

    load: float
    forward: float

    def total(self, images: int, workers: int) -> float:
        """Seconds for so many images; workers load while the teacher runs."""
        if workers == 0:
            return images * (self.load + self.forward)
        return images * max(self.load / workers, self.forward)


def time_batches(source: Source, batch_size: int) -> Times:
    """Time a few batches, after one to warm up."""
    load = forward = 0.0
    size = min(batch_size, len(source.dataset))
    for i in range(TIMED_BATCHES + 1):
        images = np.arange(i * size, (i + 1) * size) % len(source.dataset)
        start = perf_counter()
        batch = source.batch([(0, int(image)) for image in images])
        loaded = perf_counter()
        outputs = source.forward(batch)
        for features in outputs.values():
            next(iter(features.values())).value.cpu()  # waits for a GPU
        if i > 0:
            load += loaded - start
            forward += perf_counter() - loaded
    return Times(load / TIMED_BATCHES / size, forward / TIMED_BATCHES / size)


def replayed_pixels(source: Source) -> list[np.ndarray]:
    """Return the first images, seen twice.

    Raises:
        ValueError: If the second time shows others, so that no output would fit.
    """
    pixels, again = probe_pixels(source.dataset), probe_pixels(source.dataset)
    for i, (one, other) in enumerate(zip(pixels, again, strict=True)):
        if not np.array_equal(one, other):
            raise ValueError(
                f'image {i} comes out of the transforms different although seeded '
                "alike: one of them draws from a generator of its own, not Python's, "
                "NumPy's or torch's, and can't be replayed"
            )
    return pixels


def write_shards(
    source: Source,
    cache: TeacherCache,
    specs: Sequence[CachedFeatureSpec],
    pin_memory: bool,
) -> int:
    """Store the outputs of all shards that no other process has.

    Args:
        source: Teachers and images.
        cache: Of which the shards are.
        specs: What is stored.
        pin_memory: Whether the loader pins it, for a GPU.

    Returns:
        How many shards this process has written.
    """
    claims = Claims(cache)
    loader = DataLoader(
        cast(Dataset[Any], source.dataset),  # it has what torch calls, not its base
        batch_sampler=claims,
        num_workers=source.workers,
        collate_fn=source.collate,
        pin_memory=pin_memory,
        multiprocessing_context='fork' if source.workers else None,
    )
    parts: list[np.ndarray] = []
    finished = 0
    for batch in loader:
        _, epoch, images, _ = claims.open[0]
        begun = sum(map(len, parts))
        outputs = source.forward(batch)
        parts.append(encode(specs, outputs, source, epoch, images[begun:]))
        if begun + len(parts[-1]) == len(images):
            claims.finish(np.concatenate(parts))
            parts.clear()
            finished += 1
    return finished


def encode(
    specs: Sequence[CachedFeatureSpec],
    outputs: dict[str | None, dict[Tap, Feature]],
    source: Source,
    epoch: int,
    images: Sequence[int],
) -> np.ndarray:
    """Turn a batch of outputs, on the first of these images, into records."""
    size = len(outputs[specs[0].teacher][specs[0].tap].value)
    records = np.zeros(size, record_dtype(specs))
    records['seed'] = [source.dataset.replay_seed(epoch, i) for i in images[:size]]
    for number, spec in enumerate(specs):
        records[str(number)] = spec.encode(outputs[spec.teacher][spec.tap])
    return records


def verify(
    source: Source, cache: TeacherCache, specs: Sequence[CachedFeatureSpec], count: int
) -> list[str]:
    """Check every checksum, and compare some outputs with new ones.

    The teachers run on the batch that an output was stored from, so that nothing but
    the machine can make a difference.

    Args:
        source: Teachers and images.
        cache: That is verified.
        specs: What is stored.
        count: How many outputs are drawn.

    Returns:
        What is wrong.
    """
    shards = list(cache.shards())
    damaged = {file: damage(file) for file, _, _ in shards}
    wrong = [
        f'{file.parent.name}/{file.name} {how}' for file, how in damaged.items() if how
    ]
    images, size = len(source.dataset), cache.manifest['batch_size']
    for draw in np.random.default_rng().integers(cache.epochs * images, size=count):
        epoch, image = divmod(int(draw), images)
        number = image // cache.manifest['shard_size']
        file, _, held = shards[epoch * (len(shards) // cache.epochs) + number]
        if damaged[file] is None:
            row = image - held.start
            begin = row - row % size
            batch = [(epoch, i) for i in held[begin : begin + size]]
            wrong += _compare(source, cache, specs, batch, row - begin)
    return wrong


def _compare(
    source: Source,
    cache: TeacherCache,
    specs: Sequence[CachedFeatureSpec],
    batch: list[tuple[int, int]],
    row: int,
) -> list[str]:
    """Compare one record of a batch with a new forward."""
    epoch, image = batch[row]
    record = np.array([cache.read(epoch, image)])
    where = f'epoch {epoch}, image {image}'
    if record['seed'][0] != source.dataset.replay_seed(epoch, image):
        return [f'{where}: stored for another augmentation']
    outputs = source.forward(source.batch(batch))
    wrong = []
    for number, spec in enumerate(specs):
        value = outputs[spec.teacher][spec.tap].value[row : row + 1].detach()
        if spec.differs(record[str(number)], Feature(value, None), TOLERANCE):
            wrong.append(f"{where}: not the teacher's output at '{spec.label}'")
    return wrong
