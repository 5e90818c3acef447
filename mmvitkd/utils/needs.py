"""The files and addresses that a run needs, looked for before anything is built."""

from __future__ import annotations

import inspect
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeGuard

from mmengine.config import Config

from mmvitkd.registry import DATASETS

from .config_file import open_config, teachers_files
from .config_names import walk
from .download import find_downloaded
from .errors import ConfigError
from .published import find_published, is_kept_offline
from .types import class_of

DOWNSTREAM = ('mmdet', 'mmseg', 'mmpose')
PATIENCE = 10  # seconds for a server to answer
GONE = (404, 410)


def check_needs(cfg: Config) -> None:
    """Look for all weights and data files of a training run, in seconds.

    Raises:
        ConfigError: If some are missing, or their server does not answer; the message
            names all of them, and where in the config each one is.
    """
    wanted = [
        (place, f"checkpoint '{source}'", source) for place, source in _weights(cfg)
    ]
    wanted += _published(cfg)
    with ThreadPoolExecutor(8) as pool:
        missing = list(pool.map(_missing_weights, [source for *_, source in wanted]))
    lines = [
        f'{place}: {what} {reason}'
        for (place, what, _), reason in zip(wanted, missing, strict=True)
        if reason
    ]
    lines += _missing_data(cfg, ('train', 'val'))
    if lines:
        raise ConfigError('; '.join(lines))


def check_data(cfg: Config, *splits: str) -> None:
    """Look for the folders and annotations of some splits, such as ``'test'``.

    Raises:
        ConfigError: If some are missing; the message names all of them.
    """
    lines = _missing_data(cfg, splits)
    if lines:
        raise ConfigError('; '.join(lines))


def _weights(cfg: Config) -> Iterator[tuple[str, str]]:
    """List the checkpoints that training will read, by their place in the config."""
    model = cfg.get('model') or {}
    for place, value in walk(model, 'model'):
        parts = place.split('.')
        if parts[-1] != 'checkpoint' or not isinstance(value, str):
            continue
        taught = parts[1] in ('teacher', 'teachers')
        # only the teacher's own file is read, none of what its config began with
        if not taught or (_is_asked(model, parts) and 'cfg' not in parts):
            yield place, value
    if cfg.get('load_from') and not cfg.get('resume'):
        yield 'load_from', str(cfg.load_from)


def _published(cfg: Config) -> Iterator[tuple[str, str, str]]:
    """List the models that timm and Hugging Face will have to fetch by their names."""
    model = cfg.get('model') or {}
    yield from find_published(model, 'model')
    for file in teachers_files(cfg):
        yield from find_published(open_config(file).get('model'), f'{file}: model')


def _is_asked(model: Any, parts: list[str]) -> bool:
    """Whether a term taps the teacher that a place belongs to."""
    terms = model.get('terms')
    terms = terms.values() if isinstance(terms, dict) else ()
    taps = [term.get('teacher') for term in terms if isinstance(term, dict)]
    paths = [str(tap.get('path') if isinstance(tap, dict) else tap) for tap in taps]
    if parts[1] == 'teacher' or len(model.get('teachers') or {}) == 1:
        return bool(paths)
    return any(path.startswith(f'{parts[2]}:') for path in paths)


def _missing_weights(source: str) -> str:
    """Say why weights can't be read, or nothing."""
    if source.startswith(('http://', 'https://')):
        return '' if find_downloaded(source) else _unreachable(source)
    if '://' in source:  # of a storage of its own
        return ''
    there = Path(source).expanduser().exists()
    return '' if there else f'does not exist (looked in {Path.cwd()})'


def _unreachable(url: str) -> str:
    if is_kept_offline(url):
        return 'is not in the cache, and HF_HUB_OFFLINE keeps it from being fetched'
    agent = {'User-Agent': 'mmvitkd'}
    request = urllib.request.Request(url, headers=agent, method='HEAD')
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return ''
    except urllib.error.HTTPError as error:
        # others may refuse the question alone
        return f'is not on its server ({error})' if error.code in GONE else ''
    except (OSError, ValueError) as error:
        reason = getattr(error, 'reason', None) or error
        return (
            f"can't be reached ({reason}), nor found among earlier downloads: without "
            'a network, give the path of a file'
        )


def _missing_data(cfg: Config, splits: tuple[str, ...]) -> list[str]:
    """Name folders and annotations that are not there, of what the splits read."""
    lines: list[str] = []
    for split in splits:
        for place, part in _local(cfg, f'{split}_dataloader'):
            downstream = _is_downstream(part, cfg)
            root = part.get('data_root')
            if not downstream and _downloads(part.get('type')):
                continue
            if _is_path(root) and not Path(root).expanduser().is_dir():
                lines.append(f"{place}.data_root: there is no folder '{root}'")
            elif downstream:
                lines += _missing_files(place, part, split)
        for place, part in _local(cfg, f'{split}_evaluator'):
            lines += _missing(f'{place}.ann_file', 'file', part.get('ann_file'))
    return lines


def _local(cfg: Config, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Go through the dicts of a part of a config that read this machine's files."""
    for place, part in walk(cfg.get(name), name):
        if isinstance(part, dict) and not part.get('backend_args'):
            yield place, part


def _is_downstream(part: dict[str, Any], cfg: Config) -> bool:
    """Whether a dict is a data set of mmdet, mmseg or mmpose; those download nothing.

    Their names are not looked up, which would import the framework.
    """
    if 'ann_file' not in part and 'data_prefix' not in part:
        return False
    kind = part.get('type', '')
    if isinstance(kind, str):
        scope = kind if '.' in kind else cfg.get('default_scope') or ''
    else:
        scope = class_of(kind, DATASETS).__module__
    return scope.partition('.')[0] in DOWNSTREAM


def _missing_files(place: str, part: dict[str, Any], split: str) -> Iterator[str]:
    """Name annotations and folders of a data set that are not there."""
    root = part.get('data_root') or ''
    yield from _missing(f'{place}.ann_file', 'file', part.get('ann_file'), root)
    # of mmpose, which does not look below the root
    yield from _missing(f'{place}.bbox_file', 'file', part.get('bbox_file'))
    for key, prefix in (part.get('data_prefix') or {}).items():
        # a test set for others to judge has no labels
        if split != 'test' or key.startswith('img'):
            yield from _missing(f'{place}.data_prefix.{key}', 'folder', prefix, root)


def _missing(place: str, kind: str, path: Any, root: str = '') -> Iterator[str]:
    if _is_path(path) and '://' not in root and not Path(root, path).exists():
        yield f"{place}: there is no {kind} '{Path(root, path)}'"


def _is_path(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value != '' and '://' not in value


def _downloads(kind: Any) -> bool:
    """Whether a data set fetches its images by itself."""
    found = class_of(kind, DATASETS)
    try:
        return found is None or 'download' in inspect.signature(found).parameters
    except (TypeError, ValueError):
        return True
