"""Run the teacher of a distillation config once, and store its answers.

    python tools/cache_teacher.py configs/digits/vitkd-nkd_digits.py --out OUT
    python tools/train.py OUT/vitkd-nkd_digits_cached.py

For every image and epoch it keeps the seed of the augmentation, the top k of the
logits, and in float16 what else the terms tap. It goes on where it was stopped. Several
processes share the work: start the same command in each, or
`bash tools/torchrun.sh N cache_teacher.py CONFIG --out OUT`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from cache_lib.answers import (
    device_of,
    replayed_pixels,
    time_batches,
    verify,
    write_shards,
)
from cache_lib.plan import Source, make_manifest, read_source, training_config
from cache_lib.shards import own_folder
from mmengine.config import Config

from mmvitkd.commands.options import add_shared_arguments
from mmvitkd.datasets.cached_dataset import check_pixels
from mmvitkd.models.classifiers.stored_answer import CachedFeatureSpec
from mmvitkd.utils.cli import load_config, readable_errors, say
from mmvitkd.utils.teacher_cache import (
    TeacherCache,
    cache_bytes,
    require_same,
    write_whole,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='of a distillation with one teacher')
    parser.add_argument('--out', type=Path, required=True, help='folder to write')
    parser.add_argument(
        '--epochs',
        type=int,
        help='how many to store; training goes through them again and again. Default: '
        "the config's train_cfg.max_epochs",
    )
    parser.add_argument(
        '--top-k',
        type=int,
        metavar='K',
        help='of the logits; the others share the rest of the mass. Default: 10',
    )
    parser.add_argument(
        '--seed',
        type=int,
        help="of the augmentations. Default: the config's randomness.seed, or 0",
    )
    parser.add_argument(
        '--batch-size', type=int, help="Default: the training data loader's"
    )
    parser.add_argument(
        '--shard-size',
        type=int,
        help='images of a file. Default: 32768, or fewer so that it is below 64 MiB',
    )
    parser.add_argument('--device', help="Default: the process's GPU, else the CPU")
    parser.add_argument(
        '--dry-run', action='store_true', help='tell size and time, and write nothing'
    )
    parser.add_argument(
        '--verify',
        type=int,
        metavar='N',
        help='check all checksums of OUT, and compare N answers with new ones',
    )
    add_shared_arguments(parser)
    parser.set_defaults(work_dir=None)
    args = parser.parse_args()
    for name in ('epochs', 'batch_size', 'shard_size', 'verify'):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1')
    if args.out.exists() and not args.out.is_dir():
        parser.error(f'--out {args.out} is a file: give a folder')
    if args.launcher not in ('none', 'pytorch'):
        parser.error(
            f'--launcher {args.launcher}: the processes need not know each other; '
            'start them by tools/torchrun.sh, or each by itself'
        )
    return args


def epochs_of(cfg: Config, asked: int | None) -> int:
    """Return how many epochs to store."""
    epochs = asked or cfg.get('train_cfg', {}).get('max_epochs')
    if epochs is None:
        raise ValueError('the config trains by iterations: give --epochs')
    return epochs


def claim(out: Path, manifest: dict, pixels: list[np.ndarray], cfg: Config) -> None:
    """Write what comes before the shards, or compare it with what is there.

    Raises:
        ValueError: If the folder holds the cache of something else.
    """
    file = out / 'manifest.json'
    config = out / f'{Path(cfg.filename).stem}_cached.py'
    if file.is_file():
        stored = require_own(out, manifest, pixels)
        manifest = {**stored, 'epochs': max(stored['epochs'], manifest['epochs'])}
    else:
        ours = {'.lock', 'probe.npz', config.name}
        others = {path.name.removesuffix('.part') for path in out.iterdir()} - ours
        if others:
            raise ValueError(
                f"'{out}' holds something else, {sorted(others)[:5]}: give --out an "
                'empty folder'
            )
        stream = io.BytesIO()
        np.savez(stream, **{str(i): image for i, image in enumerate(pixels)})
        write_whole(out / 'probe.npz', stream.getvalue())
    if not config.is_file():  # or the user may have changed it
        write_whole(config, cfg.pretty_text.encode())
    write_whole(file, json.dumps(manifest, indent=1).encode())


def require_own(out: Path, manifest: dict, pixels: list[np.ndarray]) -> dict:
    """Return the stored manifest, if it is of the same answers.

    Raises:
        ValueError: If it is of others; the message lists what differs.
    """
    cache = TeacherCache(out)
    free = {key: manifest[key] for key in ('epochs', 'versions')}
    require_same(out, 'run', {**cache.manifest, **free}, manifest)
    check_pixels(cache, pixels)
    return cache.manifest


def require_room(out: Path, needed: int) -> None:
    """Refuse to begin what the disk can't hold.

    Raises:
        ValueError: If so.
    """
    there = next(path for path in (out, *out.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise ValueError(
            f"'{out}' would need {size_text(needed)} more, but its disk has "
            f'{size_text(free)} free: store fewer --epochs, which training then '
            'repeats, a smaller --top-k, or fewer taps'
        )


def stored_bytes(out: Path) -> int:
    """Sum up the shards that are there."""
    return sum(file.stat().st_size for file in out.glob('epoch_*/*.npy'))


def size_text(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e9 else f'{size / 1e6:.1f} MB'


def time_text(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def foretell(args: argparse.Namespace, source: Source, manifest: dict) -> int:
    """Tell how large the cache gets and how long it takes; return the bytes left."""
    images, epochs = manifest['data']['images'], manifest['epochs']
    whole = cache_bytes(images, epochs, manifest['record_bytes'])
    left = max(whole - stored_bytes(args.out), 0)
    workers = source.cfg.train_dataloader.get('num_workers', 0)
    times = time_batches(source, manifest['batch_size'])
    seconds = times.total(images * epochs * left / whole, workers)
    say(
        [
            f'{images} images x {epochs} epochs x {manifest["record_bytes"]} bytes: '
            f'{size_text(whole)}, of which {size_text(left)} are to be written',
            f'about {time_text(seconds)} in one process with {workers} workers '
            f'({1e3 * times.load:.2f} ms an image to load, {1e3 * times.answer:.2f} ms '
            'to ask)',
        ]
    )
    return left


def write(args: argparse.Namespace, source: Source, manifest: dict) -> None:
    """Store the answers, after telling what that takes."""
    require_room(args.out, foretell(args, source, manifest))
    pixels = replayed_pixels(source)
    if args.dry_run:
        return
    args.out.mkdir(parents=True, exist_ok=True)
    cfg = training_config(source, args.out)
    with own_folder(args.out):
        claim(args.out, manifest, pixels, cfg)
    cache = TeacherCache(args.out)
    stored = [CachedFeatureSpec.of_setting(tap) for tap in cache.manifest['taps']]
    workers = source.cfg.train_dataloader.get('num_workers', 0)
    pin = source.device.type == 'cuda' and not args.no_pin_memory
    finished = write_shards(source, cache, stored, workers, pin)
    print(f'{finished} shards written to {args.out} by this process', flush=True)
    try:
        cache.require_complete()
    except ValueError:
        print('others are still being written by other processes', flush=True)
    else:
        config = args.out / f'{Path(cfg.filename).stem}_cached.py'
        if config.read_text() != cfg.pretty_text:
            print(
                f'{config} was there before and is kept; it differs from what this '
                'config gives now: remove it to have it written anew',
                flush=True,
            )
        print(f'complete; train with: python tools/train.py {config}', flush=True)


def check(args: argparse.Namespace, source: Source, manifest: dict) -> None:
    """Compare stored answers with new ones.

    Raises:
        ValueError: If the cache is of something else, or an answer is wrong.
    """
    require_own(args.out, manifest, replayed_pixels(source))
    cache = TeacherCache(args.out)
    stored = [CachedFeatureSpec.of_setting(tap) for tap in cache.manifest['taps']]
    wrong = verify(source, cache, stored, args.verify)
    if wrong:
        more = f' and {len(wrong) - 10} more' if len(wrong) > 10 else ''
        raise ValueError(f"cache '{args.out}': {'; '.join(wrong[:10])}{more}")
    print(f'{args.verify} answers and all checksums of {args.out} are right')


def main() -> None:
    args = parse_args()
    with readable_errors():
        cfg = load_config(args)
        device = device_of(args.device, int(os.environ['LOCAL_RANK']))
        source = read_source(cfg, args.seed, device)
        batch_size = args.batch_size or cfg.train_dataloader.batch_size
        manifest = make_manifest(
            source,
            epochs_of(cfg, args.epochs),
            args.top_k,
            batch_size,
            args.shard_size,
        )
        torch.backends.cudnn.benchmark = False  # equal answers on every start
        if args.verify is None:
            write(args, source, manifest)
        else:
            check(args, source, manifest)


if __name__ == '__main__':
    main()
