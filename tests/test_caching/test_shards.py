"""Who writes which shard, when several processes write at once."""

import hashlib
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvitkd.caching.shards import Claims, lock_dir, take_lock
from mmvitkd.utils.teacher_cache import TeacherCache, damage
from tests.test_caching.by_hand import RECORD, write_cache


@pytest.fixture
def cache(tmp_path: Path) -> TeacherCache:
    """Take three of six shards away: one cut, one without checksum, one gone."""
    write_cache(tmp_path)
    (tmp_path / 'epoch_0000/00000.npy').write_bytes(b'')
    (tmp_path / 'epoch_0000/00002.sha256').unlink()
    (tmp_path / 'epoch_0001/00001.npy').unlink()
    return TeacherCache(tmp_path)


def in_another_process(do: Any) -> Any:
    """Call a function in a fork, which holds none of this process's locks."""
    context = get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(do()))
    process.start()
    assert receiver.poll(20)
    answer = receiver.recv()
    process.join()
    return answer


def test_what_is_missing_is_claimed_in_batches(cache):
    assert list(Claims(cache)) == [[(0, 0)], [(0, 1)], [(0, 4)], [(1, 2)], [(1, 3)]]
    cache.manifest['batch_size'] = 2
    claims = Claims(cache)
    assert list(claims) == [[(0, 0), (0, 1)], [(0, 4)], [(1, 2), (1, 3)]]
    assert [(c.file.name, c.epoch, c.images) for c in claims.open] == [
        ('00000.npy', 0, range(2)),
        ('00002.npy', 0, range(4, 5)),
        ('00001.npy', 1, range(2, 4)),
    ]


def test_a_claimed_shard_is_no_other_processes(cache):
    """Until it is finished, or this process ends."""
    claims = Claims(cache)
    assert next(iter(claims)) == [(0, 0)]
    rest = [[(0, 4)], [(1, 2)], [(1, 3)]]
    assert in_another_process(lambda: list(Claims(cache))) == rest
    claims.open.clear()  # whose lock ends with it
    everything = [[(0, 0)], [(0, 1)], *rest]
    assert in_another_process(lambda: list(Claims(cache))) == everything


def test_a_shard_that_another_process_has_just_finished_is_left_to_it(
    cache, monkeypatch
):
    """Between the first look at it and the lock, which is given back."""

    def late(path: Path, wait: bool) -> Any:
        write_cache(cache.path)
        return take_lock(path, wait)

    monkeypatch.setattr('mmvitkd.caching.shards.take_lock', late)
    claims = Claims(cache)
    assert list(claims) == []
    assert not claims.open
    lock = cache.path / 'epoch_0000/00000.lock'
    assert in_another_process(lambda: take_lock(lock, wait=False) is not None)


def test_finishing_writes_the_oldest_claim_and_its_checksum(cache):
    claims = Claims(cache)
    assert len(list(claims)) == 5
    records = np.zeros(2, RECORD)
    records['seed'] = 7, 8
    claims.finish(records)
    file = cache.path / 'epoch_0000/00000.npy'
    np.testing.assert_array_equal(np.load(file), records)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.with_suffix('.sha256').read_text() == f'{digest}  00000.npy\n'
    assert damage(file) is None
    assert not file.with_suffix('.lock').exists()
    assert [claim.file.name for claim in claims.open] == ['00002.npy', '00001.npy']
    assert claims.open[0].file.with_suffix('.lock').exists()
    assert in_another_process(lambda: list(Claims(cache))) == []


def test_a_lock_is_had_once_and_waited_for(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'x.lock'
    lock = take_lock(path, wait=False)
    assert lock is not None
    assert in_another_process(lambda: take_lock(path, wait=False) is None)
    lock.close()
    assert in_another_process(lambda: take_lock(path, wait=False) is not None)
    with lock_dir(tmp_path):
        busy = tmp_path / '.lock'
        assert in_another_process(lambda: take_lock(busy, wait=False) is None)
    assert in_another_process(lambda: take_lock(busy, wait=True) is not None)
