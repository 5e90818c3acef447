"""A folder of stored outputs, laid out here by hand."""

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvitkd.utils.teacher_cache import (
    TeacherCache,
    cache_bytes,
    cache_name,
    damage,
    differences,
    digest_weights,
    plain,
    require_same,
    sha256,
    write_whole,
)
from tests.test_caching.by_hand import MANIFEST, RECORD, TAP, write_cache


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cache(tmp_path)


def test_shards_in_order_the_last_one_shorter(folder):
    cache = TeacherCache(str(folder))
    assert (cache.path, cache.epochs) == (folder, 2)
    assert [
        (str(file.relative_to(folder)), epoch, list(images))
        for file, epoch, images in cache.shards()
    ] == [
        ('epoch_0000/00000.npy', 0, [0, 1]),
        ('epoch_0000/00001.npy', 0, [2, 3]),
        ('epoch_0000/00002.npy', 0, [4]),
        ('epoch_0001/00000.npy', 1, [0, 1]),
        ('epoch_0001/00001.npy', 1, [2, 3]),
        ('epoch_0001/00002.npy', 1, [4]),
    ]


def test_every_record_is_found_in_any_order(folder):
    cache = TeacherCache(folder)
    for epoch, image in ((1, 4), (0, 0), (0, 3), (1, 2), (1, 3), (0, 4), (0, 1)):
        assert cache.read(epoch, image)['seed'] == 10 * epoch + image


def test_only_the_maps_of_one_epoch_stay_open(folder):
    cache = TeacherCache(folder)
    for epoch, image in ((0, 0), (0, 2), (1, 4), (1, 1)):
        cache.read(epoch, image)
    assert [*cache._shards] == [(1, 2), (1, 0)]
    kept = cache._shards[1, 0]
    assert isinstance(kept.base, np.memmap)
    cache.read(1, 0)
    assert cache._shards[1, 0] is kept


def test_a_shard_is_checked_once_also_for_the_workers(folder):
    """A copy, as a spawned worker gets it pickled, holds what was checked, no data."""
    cache = TeacherCache(folder)
    cache.open_epoch(1)
    for shard in (0, 1, 2):
        file = folder / f'epoch_0001/0000{shard}.npy'
        file.write_bytes(file.read_bytes()[:-1] + b'?')
    copy = deepcopy(cache)
    assert copy._shards == {}
    assert [copy.read(1, image)['seed'] for image in range(5)] == [10, 11, 12, 13, 14]
    assert copy.read(0, 4)['seed'] == 4
    with pytest.raises(ValueError, match='shard epoch_0001/00000.npy is damaged'):
        TeacherCache(folder).open_epoch(1)
    TeacherCache(folder).open_epoch(0)


def test_what_is_wrong_with_a_shard(folder):
    file = folder / 'epoch_0000/00001.npy'
    assert damage(file) is None
    stored = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    file.write_bytes(b'x')
    found = hashlib.sha256(b'x').hexdigest()[:12]
    assert damage(file) == f'is damaged (sha256 {stored} stored, {found} found)'
    file.with_suffix('.sha256').write_bytes(b'\xff\xfe')
    assert str(damage(file)).startswith('is damaged (sha256 ')
    file.with_suffix('.sha256').unlink()
    assert damage(file) == 'has no checksum beside it'
    file.unlink()
    assert damage(file) == 'is missing'
    with pytest.raises(ValueError, match='shard epoch_0000/00001.npy is missing: run'):
        TeacherCache(folder).read(0, 2)


def cut(size: int) -> Callable[[Path], Any]:
    """Make a file of this many bytes."""
    return lambda file: file.write_bytes(bytes(size))


@pytest.mark.parametrize(
    ('hurt', 'told'),
    [
        (Path.unlink, '1 shards are missing'),
        (cut(2 * RECORD.itemsize - 1), '1 shards are of the wrong size'),
        (cut(2 * RECORD.itemsize), None),
        (cut(2 * RECORD.itemsize + 65536), None),
        (cut(2 * RECORD.itemsize + 65537), '1 shards are of the wrong size'),
    ],
    ids=['missing', 'short', 'bare', 'header', 'long'],
)
def test_a_cache_is_complete_if_every_shard_holds_its_records(folder, hurt, told):
    TeacherCache(folder).require_complete()
    hurt(folder / 'epoch_0001/00001.npy')
    if told is None:
        TeacherCache(folder).require_complete()
        return
    with pytest.raises(ValueError) as error:
        TeacherCache(folder).require_complete()
    assert f'{told} (epoch_0001/00001.npy, ...)' in str(error.value)


def test_all_missing_shards_are_counted(folder):
    for shard in (0, 2):
        (folder / f'epoch_0000/0000{shard}.npy').unlink()
    with pytest.raises(ValueError, match=r'2 shards are missing \(epoch_0000/00000'):
        TeacherCache(folder).require_complete()


def test_no_cache_and_one_of_another_format(tmp_path):
    with pytest.raises(ValueError, match=r'holds no teacher outputs \(no manifest'):
        TeacherCache(tmp_path)
    (tmp_path / 'manifest.json').write_text('{"format": 3}')
    with pytest.raises(ValueError, match='is of format 3, this version reads 1 and 2'):
        TeacherCache(tmp_path)


def changed(**changes: Any) -> dict:
    return {**MANIFEST, **changes}


def tap(**changes: Any) -> dict:
    return changed(taps=[TAP, {**TAP, **changes}])


@pytest.mark.parametrize(
    ('manifest', 'told'),
    [
        (changed(epochs=0), 'its epochs is 0, not a number above 0'),
        (changed(shard_size='2'), "its shard_size is '2', not a number above 0"),
        (changed(batch_size=None), 'its batch_size is None'),
        (changed(record_bytes=1.5), 'its record_bytes is 1.5'),
        (changed(data={'images': 0}), 'its data.images is 0'),
        (changed(data=[]), 'its data.images is None'),
        (changed(teacher=None), 'its teacher is None, not a dict'),
        (changed(versions=[]), r'its versions is \[\], not a dict'),
        (changed(taps=[]), r'its taps are \[\], which are none'),
        (changed(taps={'path': 'a'}), 'its taps are {'),
        (changed(taps=[TAP, 3]), 'its taps are'),
        (tap(path=None), 'its taps are'),
        (tap(tokens=1), 'its taps are'),
        (tap(shape=3), 'its taps are'),
        (tap(shape=[3, 0]), 'its taps are'),
        (tap(shape=['3']), 'its taps are'),
        (tap(hw=[3]), 'its taps are'),
        (tap(hw=[3, -1]), 'its taps are'),
        (tap(hw=3), 'its taps are'),
        (tap(top_k='3'), 'its taps are'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_a_manifest_lacks_what_its_readers_look_for(tmp_path, manifest, told):
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=f'its manifest.json is damaged .{told}'):
        TeacherCache(tmp_path)


@pytest.mark.parametrize(
    'manifest',
    [
        changed(epochs=1, shard_size=1, data={'images': 1}, record_bytes=1),
        tap(shape=[1, 1], hw=[1, 1], top_k=1),
        tap(shape=[6, 5], hw=[2, 3]),
    ],
    ids=['least', 'least of a tap', 'grid'],
)
def test_the_least_manifest_is_read(tmp_path, manifest):
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    assert TeacherCache(tmp_path).manifest == manifest


def test_the_name_is_that_of_what_decides_over_the_outputs(tmp_path):
    name = cache_name(MANIFEST)
    assert len(name) == 16
    assert int(name, 16) > 0
    turned = dict(reversed(MANIFEST.items()))
    assert cache_name(turned) == name
    assert cache_name(changed(epochs=9, versions={})) == name
    others = [changed(teacher={}), changed(shard_size=4), changed(taps=[])]
    assert len({name, *map(cache_name, others)}) == 4
    (tmp_path / 'manifest.json').write_text(json.dumps(MANIFEST))
    assert TeacherCache(tmp_path).name == name


def test_size_of_all_records():
    assert cache_bytes(1000, 3, 46) == 138_000


def test_digest_of_a_file_longer_than_a_block(tmp_path):
    content = bytes(range(256)) * 20_000  # 5.1 MB
    (tmp_path / 'x').write_bytes(content)
    assert sha256(tmp_path / 'x') == hashlib.sha256(content).hexdigest()


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / 'a.npy'
    write_whole(file, b'old')

    def full(_: int) -> None:
        assert (tmp_path / 'a.npy.part').read_bytes() == b'new'
        raise OSError('disk full')

    with monkeypatch.context() as patch:
        patch.setattr('os.fsync', full)
        with pytest.raises(OSError, match='disk full'):
            write_whole(file, b'new')
    assert file.read_bytes() == b'old'
    write_whole(file, b'new')
    assert [path.name for path in tmp_path.iterdir()] == ['a.npy']
    assert file.read_bytes() == b'new'


def test_plain_settings_are_those_of_no_machine():
    cfg = {
        'type': 'mmvitkd.Digits',
        'data_root': '/mnt/1',
        1: ({'type': dict, 'ann_file': 'x', 'alpha': 0.5}, None),
        'keys': [True, 2, torch.float32],
        'type_': 'a.b',
    }
    assert plain(cfg) == {
        'type': 'Digits',
        '1': [{'type': 'dict', 'alpha': 0.5}, None],
        'keys': [True, 2, 'torch.float32'],
        'type_': 'a.b',
    }
    nested = {'a': 1, 'data_root': [{'a': 2, 'b': 3}], 'c': {'a': 4}}
    assert plain(nested, ('a',)) == {'data_root': [{'b': 3}], 'c': {}}


def test_differences_by_their_place():
    old = {'a': 1, 'b': [1, {'c': 2}], 'd': {'e': None}, 'f': [1]}
    new = {'a': 1, 'b': [1, {'c': 3}, 4], 'd': {}, 'f': {'0': 1}, 'g': 5}
    assert differences(old, old) == []
    assert differences(old, new) == [
        'b.1.c: 2 (stored) -> 3 (requested)',
        'b.2: absent (stored) -> 4 (requested)',
        'd.e: None (stored) -> absent (requested)',
        "f: [1] (stored) -> {'0': 1} (requested)",
        'g: absent (stored) -> 5 (requested)',
    ]
    require_same(Path('x'), 'run', old, old)
    with pytest.raises(ValueError) as error:
        require_same(Path('x'), 'run', {'a': 1, 'b': 2}, {'a': 3, 'b': 4})
    lines = str(error.value).splitlines()
    assert lines[0] == "cache 'x' belongs to another run; what differs:"
    assert lines[1:3] == [
        'a: 1 (stored) -> 3 (requested)',
        'b: 2 (stored) -> 4 (requested)',
    ]


WEIGHTS = {'a': torch.arange(6.0).reshape(2, 3), 'b': torch.ones(())}


def test_weights_have_one_digest_whatever_file_they_came_in():
    digest = digest_weights(WEIGHTS)
    assert len(digest) == 64
    mean = {'data_preprocessor.mean': torch.ones(3)}
    strided = torch.arange(6.0).reshape(3, 2).t().contiguous().t()
    assert digest_weights({**dict(reversed(WEIGHTS.items())), **mean}) == digest
    parameter = torch.nn.Parameter(WEIGHTS['a'].clone())
    assert digest_weights({**WEIGHTS, 'a': parameter}) == digest
    assert digest_weights({'a': strided}) == digest_weights({'a': strided.contiguous()})


@pytest.mark.parametrize(
    'change',
    [
        {'c': torch.ones(())},
        {'a': WEIGHTS['a'].reshape(3, 2)},
        {'a': WEIGHTS['a'].double()},
        {'a': WEIGHTS['a'] + torch.eye(2, 3) * 1e-6},
        {'b': torch.ones((), dtype=torch.bfloat16)},
    ],
    ids=['key', 'shape', 'dtype', 'value', 'bfloat16'],
)
def test_other_weights_have_another_digest(change):
    assert digest_weights({**WEIGHTS, **change}) != digest_weights(WEIGHTS)
