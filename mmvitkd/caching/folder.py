"""What a cache's folder holds beside its shards."""

import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict

from mmvitkd.datasets.cached_dataset import check_pixels
from mmvitkd.utils.teacher_cache import TeacherCache, require_same, write_whole

from .plan import Source


def cached_config(out: Path, cfg: Config) -> Path:
    """The file of the config that trains from a cache, named after its source."""
    return out / f'{Path(cfg.filename).stem}_cached.py'


def training_config(source: Source, out: Path) -> Config:
    """Make the config that trains from the cache."""
    cfg = deepcopy(source.cfg)
    for key in ('work_dir', 'launcher'):
        cfg.pop(key, None)
    cached = {'type': 'mmvitkd.CachedTeacher', 'path': str(out.resolve())}
    if None not in source.teachers:
        cfg.model.teachers = {
            name: {**cached, 'name': name} for name in source.teachers
        }
    elif cfg.model.get('teachers'):
        cfg.model.teachers = dict.fromkeys(cfg.model.teachers, cached)
    else:
        cfg.model.teacher = ConfigDict(cached)
    loader = cfg.train_dataloader
    loader.dataset = ConfigDict(
        {**source.dataset_cfg, **cached, 'type': 'mmvitkd.CachedDataset'}
    )
    loader.sampler.type = 'mmvitkd.ReplaySampler'
    return cfg


def prepare_folder(
    out: Path, manifest: dict[str, Any], pixels: list[np.ndarray], cfg: Config
) -> None:
    """Write what comes before the shards, or compare it with what is there.

    Args:
        out: The folder.
        manifest: Of the cache.
        pixels: Of the first images.
        cfg: Trains from the cache.

    Raises:
        ValueError: If the folder holds the cache of something else, or other files.
    """
    file = out / 'manifest.json'
    config = cached_config(out, cfg)
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
        arrays: dict[str, Any] = {str(i): image for i, image in enumerate(pixels)}
        np.savez(stream, **arrays)
        write_whole(out / 'probe.npz', stream.getvalue())
    if not config.is_file():  # or the user may have changed it
        write_whole(config, cfg.pretty_text.encode())
    write_whole(file, json.dumps(manifest, indent=1).encode())


def require_own(
    out: Path, manifest: dict[str, Any], pixels: list[np.ndarray]
) -> dict[str, Any]:
    """Return the stored manifest, if it is of the same outputs.

    Raises:
        ValueError: If it is of others; the message lists what differs.
    """
    cache = TeacherCache(out)
    stored, requested = (_teacher_names(m) for m in (cache.manifest, manifest))
    require_same(out, 'run', {'teachers': stored}, {'teachers': requested})
    free = {key: manifest[key] for key in ('epochs', 'versions')}
    require_same(out, 'run', {**cache.manifest, **free}, manifest)
    check_pixels(cache, pixels)
    return cache.manifest


def _teacher_names(manifest: dict[str, Any]) -> str:
    return ', '.join(manifest['teachers']) if 'teachers' in manifest else 'only one'
