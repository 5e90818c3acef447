"""Asking the teacher: to store its answers, to time it, and to check what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from mmvitkd.datasets.cached_dataset import probe_pixels
from mmvitkd.models.classifiers.stored_answer import CachedFeatureSpec, record_dtype
from mmvitkd.models.classifiers.tap import Feature, Tap
from mmvitkd.utils.teacher_cache import TeacherCache, damage

from .plan import Source
from .shards import Claims

TIMED_BATCHES = 3
# what the rounding to float16, and that of another machine, may change
TOLERANCE = 2e-3


class Times(NamedTuple):
    """Seconds that an image takes, to load in one process and to ask for."""

    load: float
    answer: float

    def total(self, images: int, workers: int) -> float:
        """Seconds for so many images; workers load while the teacher answers."""
        if workers == 0:
            return images * (self.load + self.answer)
        return images * max(self.load / workers, self.answer)


def time_batches(source: Source, batch_size: int) -> Times:
    """Time a few batches, after one to warm up."""
    load = answer = 0.0
    size = min(batch_size, len(source.dataset))
    for i in range(TIMED_BATCHES + 1):
        images = np.arange(i * size, (i + 1) * size) % len(source.dataset)
        start = perf_counter()
        batch = source.batch([(0, int(image)) for image in images])
        loaded = perf_counter()
        answers = source.answer(batch)
        next(iter(answers.values())).value.cpu()  # waits for a GPU
        if i > 0:
            load += loaded - start
            answer += perf_counter() - loaded
    return Times(load / TIMED_BATCHES / size, answer / TIMED_BATCHES / size)


def replayed_pixels(source: Source) -> list[np.ndarray]:
    """Return the first images, seen twice.

    Raises:
        ValueError: If the second time shows others, so that no answer would fit.
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
    stored: Sequence[CachedFeatureSpec],
    workers: int,
    pin_memory: bool,
) -> int:
    """Store the answers of all shards that no other process has; count the shards."""
    claims = Claims(cache)
    loader = DataLoader(
        source.dataset,
        batch_sampler=claims,
        num_workers=workers,
        collate_fn=source.collate,
        pin_memory=pin_memory,
        multiprocessing_context='fork' if workers else None,
    )
    parts: list[np.ndarray] = []
    finished = 0
    for batch in loader:
        _, epoch, images, _ = claims.open[0]
        begun = sum(map(len, parts))
        answers = source.answer(batch)
        parts.append(encode(stored, answers, source, epoch, images[begun:]))
        if begun + len(parts[-1]) == len(images):
            claims.finish(np.concatenate(parts))
            parts.clear()
            finished += 1
    return finished


def encode(
    stored: Sequence[CachedFeatureSpec],
    answers: dict[Tap, Feature],
    source: Source,
    epoch: int,
    images: Sequence[int],
) -> np.ndarray:
    """Turn a batch of answers, on the first of these images, into records."""
    size = len(next(iter(answers.values())).value)
    records = np.zeros(size, record_dtype(stored))
    records['seed'] = [source.dataset.replay_seed(epoch, i) for i in images[:size]]
    for number, tap in enumerate(stored):
        records[str(number)] = tap.encode(answers[tap.tap])
    return records


def verify(
    source: Source, cache: TeacherCache, stored: Sequence[CachedFeatureSpec], count: int
) -> list[str]:
    """Check every checksum, and ask for some answers anew; list what is wrong.

    An answer is asked for in the batch that it was stored from, so that nothing but the
    machine can make a difference.
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
            wrong += _compare(source, cache, stored, batch, row - begin)
    return wrong


def _compare(
    source: Source,
    cache: TeacherCache,
    stored: Sequence[CachedFeatureSpec],
    batch: list[tuple[int, int]],
    row: int,
) -> list[str]:
    """Compare one record of a batch with a new answer."""
    epoch, image = batch[row]
    record = np.array([cache.read(epoch, image)])
    where = f'epoch {epoch}, image {image}'
    if record['seed'][0] != source.dataset.replay_seed(epoch, image):
        return [f'{where}: stored for another augmentation']
    answers = source.answer(source.batch(batch))
    wrong = []
    for number, tap in enumerate(stored):
        value = answers[tap.tap].value[row : row + 1].detach()
        if tap.differs(record[str(number)], Feature(value, None), TOLERANCE):
            wrong.append(f"{where}: not the teacher's answer at '{tap.tap.path}'")
    return wrong


def device_of(name: str | None, local_rank: int) -> torch.device:
    """Choose the device: as asked, else the process's own GPU, else the CPU.

    Raises:
        ValueError: If it does not exist.
    """
    if name is None:
        name = f'cuda:{local_rank}' if torch.cuda.is_available() else 'cpu'
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'--device {name}: {reason}') from error
    return torch.device(name)
