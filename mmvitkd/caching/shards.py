"""Writing shards: several processes at once, and a kill at any moment."""

import fcntl
import hashlib
import io
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from mmvitkd.utils.teacher_cache import (
    TeacherCache,
    checksum_file,
    damage,
    write_whole,
)


class Claim(NamedTuple):
    """A shard that only this process writes."""

    file: Path
    epoch: int
    images: range
    lock: IO[bytes]


def take_lock(path: Path, wait: bool) -> IO[bytes] | None:
    """Lock a file for this process; None if another one holds it.

    The system ends the lock with the process, by SIGKILL too. Children, such as a
    loader's workers, do not inherit it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open('wb')
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        lock.close()
        return None
    return lock


@contextmanager
def lock_dir(out: Path) -> Iterator[None]:
    """Wait until no other process changes what all of them share."""
    lock = take_lock(out / '.lock', wait=True)
    assert lock is not None
    with lock:
        yield


class Claims:
    """Batches of the shards that no one has written, claimed one after the other.

    A loader takes them as its batch sampler, ahead of what it has loaded, so that its
    workers go on over the border of two shards.

    Attributes:
        open: The claimed shards that are not yet written, in order.
    """

    def __init__(self, cache: TeacherCache) -> None:
        self.cache = cache
        self.open: deque[Claim] = deque()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size = self.cache.manifest['batch_size']
        for file, epoch, images in self.cache.shards():
            if damage(file) is None:
                continue
            lock = take_lock(file.with_suffix('.lock'), wait=False)
            if lock is None:
                continue
            if damage(file) is None:  # another one has just finished it
                lock.close()
                continue
            self.open.append(Claim(file, epoch, images, lock))
            for start in range(0, len(images), size):
                yield [(epoch, image) for image in images[start : start + size]]

    def finish(self, records: np.ndarray) -> None:
        """Write the first of the claimed shards, and give its lock back."""
        file, _, _, lock = self.open.popleft()
        stream = io.BytesIO()
        np.save(stream, records)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        # first, so that no shard is ever without
        write_whole(checksum_file(file), f'{digest}  {file.name}\n'.encode())
        write_whole(file, stream.getvalue())
        Path(lock.name).unlink()  # before another one can take it for unfinished
        lock.close()
