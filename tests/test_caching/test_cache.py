"""The command that writes, or says what it would cost."""

import argparse
import fcntl
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from mmvitkd.caching import cache
from mmvitkd.caching.cache import (
    cache_teacher,
    device_of,
    estimate,
    require_room,
    write_cache,
)
from mmvitkd.caching.outputs import Times
from mmvitkd.commands.cache import add_arguments
from mmvitkd.utils.teacher_cache import TeacherCache
from tests.test_caching.small import CPU, IMAGES, settings


def test_device_is_the_named_one_or_the_cpu(monkeypatch):
    assert device_of('cpu', 3) == CPU
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert device_of(None, 3) == CPU
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    with pytest.raises(ValueError, match='--device cuda:3: '):
        device_of(None, 3)
    with pytest.raises(ValueError, match='--device toaster: '):
        device_of('toaster', 0)


@pytest.mark.parametrize(
    ('images', 'size'),
    [(10**6 - 1, '1000.0 MB'), (10**6, '1.0 GB'), (5500, '5.5 MB')],
)
def test_size_in_its_own_unit(source, manifest, tmp_path, capsys, images, size):
    data = {**manifest['data'], 'images': images}
    described = {**manifest, 'data': data, 'epochs': 10, 'record_bytes': 100}
    assert estimate(source, described, tmp_path) == images * 1000
    said = capsys.readouterr().out
    assert f'{images} images x 10 epochs x 100 bytes: {size}, of which {size}' in said


@pytest.mark.parametrize(
    ('seconds', 'time'),
    [(119, '119 s'), (120, '2 min'), (7140, '119 min'), (7200, '2.0 h')],
)
def test_time_in_its_own_unit(
    source, manifest, tmp_path, capsys, monkeypatch, seconds, time
):
    each = seconds / (2 * IMAGES)
    times = Times(load=0.75 * each, forward=0.25 * each)
    monkeypatch.setattr(cache, 'time_batches', lambda *_: times)
    estimate(source, manifest, tmp_path)
    said = capsys.readouterr().out
    assert f'about {time} in one process with 0 workers' in said
    assert f'({750 * each:.2f} ms an image to load, {250 * each:.2f} ms for' in said


def test_only_what_is_left_costs_space_and_time(
    source, manifest, out, capsys, monkeypatch
):
    (out / 'epoch_0001/00001.npy').unlink()
    (out / 'epoch_0000/00000.npy').unlink()
    held = sum(file.stat().st_size for file in out.glob('*/*.npy'))
    whole = 2 * IMAGES * manifest['record_bytes']
    monkeypatch.setattr(cache, 'time_batches', lambda *_: Times(60.0, 40.0))
    assert estimate(source, manifest, out) == whole - held
    seconds = 100 * 2 * IMAGES * (whole - held) / whole
    assert f'about {seconds / 60:.0f} min' in capsys.readouterr().out
    more = {**manifest, 'record_bytes': 1}
    assert estimate(source, more, out) == 0  # headers are larger


def test_room_is_that_of_the_disk_that_the_folder_comes_to(tmp_path, monkeypatch):
    asked = []

    def usage(path: Path) -> Any:
        asked.append(path)
        return argparse.Namespace(free=2 * 10**9)

    monkeypatch.setattr('shutil.disk_usage', usage)
    require_room(tmp_path / 'not' / 'yet', 2 * 10**9)
    with pytest.raises(ValueError, match=r'need 2.0 GB more, but its disk has 2.0 GB'):
        require_room(tmp_path, 2 * 10**9 + 1)
    assert asked == [tmp_path, tmp_path]


def test_what_other_processes_write_is_waited_for_by_no_one(
    source, manifest, out, capsys
):
    (out / 'epoch_0001/00001.npy').unlink()
    context = get_context('fork')
    taken, done = context.Event(), context.Event()

    def hold() -> None:
        with (out / 'epoch_0001/00001.lock').open('wb') as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            taken.set()
            done.wait(60)

    other = context.Process(target=hold)
    other.start()
    assert taken.wait(60)
    write_cache(source, manifest, out)
    said = capsys.readouterr().out
    done.set()
    other.join()
    assert f'0 shards written to {out} by this process' in said
    assert 'others are still being written by other processes' in said
    assert 'complete' not in said
    write_cache(source, manifest, out)
    assert f'1 shards written to {out} by this process' in capsys.readouterr().out


def options(cfg: Path, out: Path, *given: str) -> argparse.Namespace:
    """What the command reads of its command line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(cfg), '--out', str(out), *given])


def test_the_command_tells_writes_and_verifies(tmp_path, capsys):
    cfg, out = Path(settings(tmp_path).filename), tmp_path / 'cache'
    given = ('--batch-size', '3', '--shard-size', '3', '--epochs', '1', '--seed', '5')
    cache_teacher(options(cfg, out, *given, '--dry-run'))
    assert '6 images x 1 epochs x 792 bytes: ' in capsys.readouterr().out
    assert not out.exists()
    cache_teacher(options(cfg, out, *given, '--top-k', '4'))
    assert '2 shards written' in capsys.readouterr().out
    manifest = TeacherCache(out).manifest
    assert [tap['top_k'] for tap in manifest['taps']] == [None, 4]
    kept = {key: manifest[key] for key in ('epochs', 'batch_size', 'shard_size')}
    assert kept == {'epochs': 1, 'batch_size': 3, 'shard_size': 3}
    assert manifest['data']['seed'] == 5
    before = sorted(out.rglob('*'))
    cache_teacher(options(cfg, out, *given, '--top-k', '4', '--verify', '3'))
    said = capsys.readouterr().out
    assert f'3 stored outputs and all checksums of {out} are right' in said
    assert 'shards written' not in said
    assert sorted(out.rglob('*')) == before


def test_the_command_takes_what_is_not_given_from_the_config(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr('torch.backends.cudnn.benchmark', True)
    cfg, out = Path(settings(tmp_path).filename), tmp_path / 'cache'
    cache_teacher(options(cfg, out))
    assert torch.backends.cudnn.benchmark is False  # else outputs differ by the start
    capsys.readouterr()
    manifest = TeacherCache(out).manifest
    assert (manifest['epochs'], manifest['batch_size']) == (2, 2)
    assert manifest['data']['seed'] == 0


def test_the_command_refuses_a_full_disk_and_a_device_that_is_none(
    tmp_path, monkeypatch
):
    cfg, out = Path(settings(tmp_path).filename), tmp_path / 'cache'
    with pytest.raises(ValueError, match='--device toaster'):
        cache_teacher(options(cfg, out, '--device', 'toaster'))
    monkeypatch.setattr('shutil.disk_usage', lambda _: argparse.Namespace(free=9))
    with pytest.raises(ValueError, match='has 0.0 MB free'):
        cache_teacher(options(cfg, out))
    assert not out.exists()
