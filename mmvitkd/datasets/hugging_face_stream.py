from collections.abc import Iterator
from typing import Any

from mmvitkd.registry import DATASETS

from .hugging_face_rows import bytes_of, label_of, open_rows
from .image_bytes import decode
from .streamed_images import StreamedImages


@DATASETS.register_module()
class HuggingFaceStream(StreamedImages):
    """Images of Hugging Face's ``datasets``, streamed: nothing is stored first.

    Every worker of every process reads files of its own where their number is a
    multiple of the workers', or else every so-manieth row of all.

    Args:
        path: As for :class:`HuggingFaceImages`, like the arguments below.
        num_samples: How many images an epoch has, of all processes together.
        split: Defaults to ``'train'``.
        image: Defaults to ``'image'``.
        label: Defaults to None: labels are not read.
        load: Other arguments of ``load_dataset``. Defaults to None.
        **kwargs: ``pipeline``, ``classes`` and ``shuffle``, as of
            :class:`StreamedImages`.

    Raises:
        ValueError: If it can't be opened, or lacks a column, or one is of another kind.
        ImportError: If the library is missing.
    """

    def __init__(
        self,
        path: str,
        num_samples: int,
        split: str = 'train',
        image: str = 'image',
        label: str | None = None,
        load: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.rows, classes = open_rows(path, split, image, label, load, streaming=True)
        super().__init__(num_samples, **{'classes': classes, **kwargs})
        self.path = path
        self.image = image
        self.label = label

    def __repr__(self) -> str:
        return f"'{self.path}', streamed"

    def pass_through(self, seed: int, share: int, shares: int) -> Iterator[Any]:
        """Read a part's rows."""
        from datasets.distributed import split_dataset_by_node

        rows = self.rows
        if self.shuffle:
            rows = rows.shuffle(seed=seed, buffer_size=self.shuffle)
        rows = split_dataset_by_node(rows, rank=share, world_size=shares)
        # iter(rows) would share them among the workers once more
        for batch in rows.iter(batch_size=1):
            yield {column: cells[0] for column, cells in batch.items()}

    def read(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Decode a row's image."""
        cell = raw[self.image]
        name = cell['path'] if isinstance(cell, dict) else None
        data = decode(bytes_of(cell), self.loader, f'{self.path}, {name or "a row"}')
        return data if self.label is None else {**data, **label_of(raw[self.label])}
