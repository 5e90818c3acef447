from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

from mmvitkd.registry import DATASETS
from mmvitkd.utils.libraries import optional_libraries

from .image_bytes import decode
from .streamed_images import StreamedImages

IMAGES = ('jpg', 'jpeg', 'png', 'webp', 'bmp', 'ppm', 'pgm', 'tif', 'tiff')


@DATASETS.register_module()
class WebDatasetImages(StreamedImages):
    """Images in `WebDataset <https://github.com/webdataset/webdataset>`_'s tar shards.

    A sample is the members of a shard that have a name in common: ``0001.jpg`` and,
    where there are labels, ``0001.cls``. Every worker of every process reads shards of
    its own, those of an epoch in a shuffled order.

    Args:
        shards: Their names, or one with braces (``'data/{0000..0145}.tar'``) or, of
            local files, an asterisk; also URLs and ``pipe:`` commands.
        num_samples: How many images an epoch has, of all processes together.
        label: The member with the class's number as text, such as ``'cls'``. Defaults
            to None: labels are not read.
        image: The member with the image, the first of these that a sample has.
            Defaults to the usual ones.
        **kwargs: ``pipeline``, ``classes`` and ``shuffle``, as of
            :class:`StreamedImages`.

    Raises:
        ValueError: If there are no shards, or fewer than processes. In training: if
            there are fewer than workers, or a shard or a sample can't be read; the
            shard and the sample are named.
        ImportError: If the library is missing.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        num_samples: int,
        label: str | None = None,
        image: str | Sequence[str] = IMAGES,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_samples, **kwargs)
        self.label = label
        self.image = [image] if isinstance(image, str) else list(image)
        self.shards = list_shards(shards)
        self.check_workers(1)

    def __repr__(self) -> str:
        return f"{len(self.shards)} shards ('{self.shards[0]}', ...)"

    def check_workers(self, workers: int) -> None:
        """Refuse more workers, of all processes, than shards."""
        found, readers = len(self.shards), self.world_size * max(workers, 1)
        if found < readers:
            raise ValueError(
                f'{found} shards for {self.world_size} processes with {workers} '
                f'workers each: every worker reads its own, so set num_workers to '
                f'{found // self.world_size} at most, or write more and smaller shards'
                if found >= self.world_size
                else f'{found} shards for {self.world_size} processes: each needs its '
                'own; write more and smaller shards, or take fewer processes'
            )

    def pass_through(self, seed: int, share: int, shares: int) -> Iterator[Any]:
        """Read a part's shards."""
        from webdataset.filters import shuffle

        urls = list(self.shards)
        if self.shuffle:
            Random(seed).shuffle(urls)
        samples = chain.from_iterable(map(_samples_of, urls[share::shares]))
        if self.shuffle:
            rng = Random(seed + share)
            samples = shuffle(self.shuffle, initial=self.shuffle, rng=rng)(samples)
        return samples

    def read(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Decode a sample, and read its label."""
        name = f'{raw["__url__"]}/{raw["__key__"]}'
        kind = next((kind for kind in self.image if kind in raw), None)
        if kind is None or self.label not in (None, *raw):
            wanted = 'image' if kind is None else f'label .{self.label}'
            members = ', '.join(f'.{key}' for key in raw if not key.startswith('__'))
            raise ValueError(f"the sample '{name}' has no {wanted}, but {members}")
        data = decode(raw[kind], self.loader, f'{name}.{kind}')
        if self.label is not None:
            text = raw[self.label]
            if not text.strip().isdigit():
                raise ValueError(
                    f"the label '{name}.{self.label}' is {text[:40]!r}: must be a "
                    "class's number as text, from 0 on"
                )
            data['gt_label'] = int(text)
        return data


def list_shards(shards: str | Sequence[str]) -> list[str]:
    """List the shards that a name, or several, stand for.

    Raises:
        ValueError: If there are none, or a local one does not exist.
        ImportError: If the library is missing.
    """
    with optional_libraries():
        from webdataset.shardlists import expand_urls
    names = [shards] if isinstance(shards, str) else list(shards)
    found: list[str] = []
    for name in chain.from_iterable(map(expand_urls, names)):
        if ':' in name:  # a URL or a command
            found.append(name)
            continue
        name = str(Path(name).expanduser())
        files = sorted(glob(name)) if has_magic(name) else [name]
        if not files or not Path(files[0]).is_file():
            raise ValueError(
                f"there is no shard '{name}' (looked in {Path.cwd()}): shards= names "
                'tar files, as in data/{0000..0145}.tar or data/*.tar'
            )
        found += files
    if not found:
        raise ValueError(f'shards={shards!r} names no tar file')
    return found


def _samples_of(url: str) -> Iterator[dict[str, Any]]:
    """Read a shard's samples.

    Raises:
        ValueError: If it is damaged; the last member that is whole is named.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander, url_opener

    place = 'at its beginning'

    def members() -> Iterator[dict[str, Any]]:
        nonlocal place
        for member in tar_file_expander(url_opener(iter([{'url': url}]))):
            if 'fname' in member:  # else the shard ends
                place = f"behind its member '{member['fname']}'"
            yield member

    try:
        yield from group_by_keys(members())
    except Exception as error:  # of the archive, or of the way to it
        reason = error.args[0] if error.args else error
        raise ValueError(
            f"the shard '{url}' can not be read {place}: {type(error).__name__}: "
            f'{reason}'
        ) from error
