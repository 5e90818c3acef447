"""What ``python -m mmvitkd cache`` does: write a cache, or verify it."""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from mmvitkd.datasets.fast import speed_up_data
from mmvitkd.models.classifiers.cached_feature_spec import CachedFeatureSpec
from mmvitkd.utils.cli import device_of, load_config, print_rank0
from mmvitkd.utils.teacher_cache import TeacherCache, cache_bytes

from .folder import cached_config, prepare_folder, require_own, training_config
from .outputs import replayed_pixels, time_batches, verify, write_shards
from .plan import Source, epochs_of, make_manifest, read_source
from .shards import lock_dir


def cache_teacher(args: argparse.Namespace) -> None:
    """Store the outputs of a config's teachers, or verify those that are stored.

    Args:
        args: As the command reads them.
    """
    cfg = load_config(args)
    if args.fast_data is not None:
        speed_up_data(cfg, args.fast_data)
    device = device_of(args.device, int(os.environ['LOCAL_RANK']))
    source = read_source(cfg, args.seed, device)
    manifest = make_manifest(
        source,
        epochs_of(cfg, args.epochs),
        args.top_k,
        args.batch_size or cfg.train_dataloader.batch_size,
        args.shard_size,
    )
    torch.backends.cudnn.benchmark = False  # equal outputs on every start
    if args.verify is not None:
        verify_cache(source, manifest, args.out, args.verify)
        return
    require_room(args.out, estimate(source, manifest, args.out))
    if args.dry_run:
        replayed_pixels(source)
        return
    pin = device.type == 'cuda' and not args.no_pin_memory
    write_cache(source, manifest, args.out, pin)


def estimate(source: Source, manifest: dict[str, Any], out: Path) -> int:
    """Tell how large the cache gets and how long it takes.

    Returns:
        The bytes that are still to be written.
    """
    images, epochs = manifest['data']['images'], manifest['epochs']
    whole = cache_bytes(images, epochs, manifest['record_bytes'])
    stored = sum(file.stat().st_size for file in out.glob('epoch_*/*.npy'))
    left = max(whole - stored, 0)
    times = time_batches(source, manifest['batch_size'])
    seconds = times.total(images * epochs * left / whole, source.workers)
    print_rank0(
        [
            f'{images} images x {epochs} epochs x {manifest["record_bytes"]} bytes: '
            f'{_size_text(whole)}, of which {_size_text(left)} are to be written',
            f'about {_time_text(seconds)} in one process with {source.workers} workers '
            f'({1e3 * times.load:.2f} ms an image to load, {1e3 * times.forward:.2f} '
            f'ms for the forward of {_count_text(len(source.teachers))})',
        ]
    )
    return left


def require_room(out: Path, needed: int) -> None:
    """Refuse to begin what the disk can't hold.

    Raises:
        ValueError: If so.
    """
    there = next(path for path in (out, *out.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ValueError(
            f"'{out}' would need {_size_text(needed)} more, but its disk has "
            f'{_size_text(free)} free: store fewer --epochs, which training then '
            'repeats, a smaller --top-k, or fewer taps'
        )


def write_cache(
    source: Source, manifest: dict[str, Any], out: Path, pin_memory: bool = False
) -> None:
    """Store the outputs that no other process stores, and say whether that is all.

    Raises:
        ValueError: If the folder holds something else, or an image's augmentation
            can't be replayed.
    """
    pixels = replayed_pixels(source)
    out.mkdir(parents=True, exist_ok=True)
    cfg = training_config(source, out)
    with lock_dir(out):
        prepare_folder(out, manifest, pixels, cfg)
    cache = TeacherCache(out)
    finished = write_shards(source, cache, _specs(cache), pin_memory)
    print(f'{finished} shards written to {out} by this process', flush=True)
    try:
        cache.require_complete()
    except ValueError:
        print('others are still being written by other processes', flush=True)
        return
    config = cached_config(out, cfg)
    if config.read_text(encoding='utf-8') != cfg.pretty_text:
        print(
            f'{config} was there before and is kept; it differs from what this '
            'config gives now: remove it to have it written anew',
            flush=True,
        )
    print(f'complete; train with: python -m mmvitkd train {config}', flush=True)


def verify_cache(
    source: Source, manifest: dict[str, Any], out: Path, count: int
) -> None:
    """Check every checksum, and compare some stored outputs with new ones.

    Raises:
        ValueError: If the cache is of something else, or an output is wrong.
    """
    require_own(out, manifest, replayed_pixels(source))
    cache = TeacherCache(out)
    wrong = verify(source, cache, _specs(cache), count)
    if wrong:
        more = f' and {len(wrong) - 10} more' if len(wrong) > 10 else ''
        raise ValueError(f"cache '{out}': {'; '.join(wrong[:10])}{more}")
    print(f'{count} stored outputs and all checksums of {out} are right')


def _specs(cache: TeacherCache) -> list[CachedFeatureSpec]:
    return [CachedFeatureSpec.of_setting(tap) for tap in cache.manifest['taps']]


def _count_text(teachers: int) -> str:
    return 'the teacher' if teachers == 1 else f'{teachers} teachers'


def _size_text(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e9 else f'{size / 1e6:.1f} MB'


def _time_text(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'
