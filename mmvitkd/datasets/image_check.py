"""Image files that can't be read, found before training."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mmcv.transforms import LoadImageFromFile
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from PIL import Image

from .fast import ReadRandomResizedCrop
from .labels import annotations_of

# of a picture; decoded, it takes three bytes for each
MAX_PIXELS = 100_000_000
# above so many new files only their beginnings are read
MANY = 200_000
NAME = '.mmvitkd-images.json'
SHOWN = 20
PROGRESS = 10  # lines of it
LEAST = 1000  # images between two


class Unreadable(NamedTuple):
    """A file, and why it can't be read."""

    path: str
    reason: str


def find_unreadable(
    paths: Iterable[str],
    loader: LoadImageFromFile,
    max_pixels: int = MAX_PIXELS,
    whole: bool | None = None,
) -> list[Unreadable]:
    """List the files that training could not read.

    Every file is read once, on all CPU cores, as training will read it. What is found
    is kept in the folder of the data, or in the user's cache folder, and a file looked
    at anew when its size or time has changed.

    Args:
        paths: Local files.
        loader: Which reads them in training.
        max_pixels: Of a picture.
        whole: Whether to decode them, or to look at their beginnings only. Defaults to
            None: to decode up to 200,000 new files.
    """
    found: list[Any] = [None]
    if is_main_process():
        found = [_find(sorted(set(paths)), loader, max_pixels, whole)]
    broadcast_object_list(found)
    return found[0]


def require_readable(
    datasets: Iterable[Any], max_pixels: int | None = None, whole: bool | None = None
) -> None:
    """Refuse data sets with files that training could not read.

    Those whose samples are no files are passed over.

    Args:
        datasets: Wrapped or not.
        max_pixels: Of a picture. Defaults to None: the data set's own ``max_pixels``,
            or 100 million.
        whole: As for :func:`find_unreadable`.

    Raises:
        ValueError: If there are any; all are named.
    """
    found: list[Unreadable] = []
    for dataset in datasets:
        inner = inner_dataset(dataset)
        loader = find_loader(inner)
        if loader is not None:
            limit = max_pixels or int(getattr(inner, 'max_pixels', MAX_PIXELS))
            found += find_unreadable(_paths_of(dataset), loader, limit, whole)
    if found:
        found = list(dict.fromkeys(found))
        raise ValueError(
            f'{len(found)} images can not be read:\n{describe_unreadable(found)}\n'
            'Delete, convert or replace them; or let mmvitkd.ImageFolder leave out up '
            f'to so many, by skip_unreadable={len(found)} in its data set'
        )


def inner_dataset(dataset: Any) -> Any:
    """Return the data set inside its wrappers, the first one of several."""
    while hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets'):
        several = getattr(dataset, 'datasets', None)
        dataset = several[0] if several else dataset.dataset
    return dataset


def find_loader(dataset: Any) -> LoadImageFromFile | None:
    """Return the transform that reads a data set's files, if there is one."""
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', None) or []
    found = next((step for step in steps if isinstance(step, LoadImageFromFile)), None)
    return found.whole if isinstance(found, ReadRandomResizedCrop) else found


def _paths_of(dataset: Any) -> list[str]:
    """List the local files of a data set's samples."""
    found = annotations_of(dataset) or []
    paths = [sample.get('img_path') for sample in found if isinstance(sample, dict)]
    return [path for path in paths if isinstance(path, str) and '://' not in path]


def _find(
    paths: list[str], loader: LoadImageFromFile, max_pixels: int, whole: bool | None
) -> list[Unreadable]:
    if not paths:
        return []
    root = Path(
        os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths])
    )
    stats = {path: _stat(path) for path in paths}
    known = {'loader': repr(loader), 'max_pixels': max_pixels, 'whole': True}
    kept = _read(root, known) or {}
    names = {path: os.path.relpath(path, root) for path in paths}
    new = [p for p in paths if stats[p] is None or kept.get(names[p]) != stats[p]]
    if whole is None:
        whole = len(new) <= MANY
        if not whole:
            print_log(
                f'of {len(new)} new images only the beginnings are looked at, as '
                'decoding so many takes long: default_hooks.images.whole=True does',
                'current',
            )
    load = loader.transform if whole else None
    problems = _look_at(new, lambda path: _problem(path, load, max_pixels))
    bad = {problem.path for problem in problems}
    good = [path for path in new if path not in bad]
    if good and whole:
        _write(root, known, {**kept, **{names[path]: stats[path] for path in good}})
    return problems


def _look_at(
    paths: list[str], problem: Callable[[str], str | None]
) -> list[Unreadable]:
    """Ask what is wrong with files, in parallel; the log tells how far it is."""
    step = max(LEAST, -(-len(paths) // PROGRESS))
    found: list[Unreadable] = []
    # decoders let other threads work
    with _any_size(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), step):
            part = paths[start : start + step]
            answers = zip(part, pool.map(problem, part), strict=True)
            found += [Unreadable(path, why) for path, why in answers if why is not None]
            if len(paths) > step:
                done = min(start + step, len(paths))
                print_log(f'{done} of {len(paths)} images looked at', 'current')
    return found


@contextmanager
def _any_size() -> Iterator[None]:
    """Have Pillow tell the size of a picture that it would refuse to decode."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _problem(path: str, load: Any, max_pixels: int) -> str | None:
    """Return why a file can't be read, or None."""
    try:
        if not os.path.getsize(path):
            return 'empty'
        width, height = _size(path)
    except OSError as error:
        return error.strerror or str(error)
    if width * height > max_pixels:
        return (
            f'{width}x{height}, more than max_pixels={max_pixels}: make it smaller, or '
            'raise the bound'
        )
    if load is None:
        return None
    try:
        load({'img_path': path})
    except Exception as error:  # every decoder has its own
        said = _first_line(error)
        about = f': {said}' if said else ''
        return f'damaged, or of a kind that is not supported{_kind(path)}{about}'
    return None


def _size(path: str) -> tuple[int, int]:
    """Read how large a picture is; of one that Pillow can't read, 0."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        if error.errno is not None:  # of the file, not of what is in it
            raise
    except (ValueError, SyntaxError):
        pass
    return 0, 0  # the loader may know it


def _kind(path: str) -> str:
    """Tell what a file is by how it begins."""
    with open(path, 'rb') as stream:
        begin = stream.read(16)
    if begin[4:8] == b'ftyp':
        return ' (a HEIC or AVIF picture, or a video, whatever its name)'
    if begin[:4] in (b'II*\0', b'MM\0*'):
        return ' (a TIFF; of floating-point numbers it can not be read)'
    return ''


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    # MMCV's own, which names the file again
    if text.startswith('failed to load image') or 'OpenCV' in text:
        return ''
    return next(iter(text.splitlines()), '')


def _stat(path: str) -> list[int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _places(root: Path) -> list[Path]:
    """Where the result may be kept: beside the data, or in the user's cache."""
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    return [root / NAME, cache / 'mmvitkd' / f'images-{digest}.json']


def _read(root: Path, known: dict[str, Any]) -> dict[str, list[int]] | None:
    """Read what was found before, if it was looked for in the same way."""
    for place in _places(root):
        try:
            stored = json.loads(place.read_text())
            if stored['known'] == known and isinstance(stored['files'], dict):
                return stored['files']
        except (OSError, ValueError, KeyError, TypeError):
            continue  # there is none, or it is damaged: look anew
    return None


def _write(root: Path, known: dict[str, Any], files: dict[str, Any]) -> None:
    text = json.dumps({'known': known, 'files': files})
    for place in _places(root):
        part = place.with_name(f'{place.name}.{os.getpid()}')
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text)
            os.replace(part, place)
        except OSError:  # not writable
            continue
        return


def describe_unreadable(found: list[Unreadable]) -> str:
    """Name files that can't be read, one a line."""
    lines = [f'  {path}: {reason}' for path, reason in found]
    return '\n'.join(lines)


def say_unreadable(found: list[Unreadable], what: str) -> None:
    """Log that files are left out."""
    more = f'\n  and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    print_log(
        f'{what}: {len(found)} images that can not be read are left out:\n'
        f'{describe_unreadable(found[:SHOWN])}{more}',
        'current',
        logging.WARNING,
    )
