from collections.abc import Sequence
from typing import Any

from mmpretrain.datasets import BaseDataset

from mmvitkd.registry import DATASETS

from .hugging_face_rows import bytes_of, label_of, open_rows
from .image_bytes import decode, take_loader


@DATASETS.register_module()
class HuggingFaceImages(BaseDataset):
    """Images in a table of Hugging Face's `datasets <https://hf.co/docs/datasets>`_.

    It is read by the row, so it works with every sampler and wrapper, for training and
    testing alike, and a run on it is resumed exactly. The library also reads
    WebDataset's shards into tables: ``path='webdataset'``,
    ``load=dict(data_files=...)``, ``image='jpg'``, ``label='cls'``.

    Args:
        path: A name on the Hub, a kind of files (``'parquet'``, ``'imagefolder'``), or
            a folder that ``save_to_disk`` wrote.
        split: Defaults to ``'train'``; also ``'train[:10%]'``.
        image: The column with the images. Defaults to ``'image'``.
        label: The one with the classes' numbers; rows with -1 have no label. Defaults
            to None: labels are not read.
        load: Other arguments of ``load_dataset``, such as ``dict(name=...)``.
        pipeline: Transforms, as in MMPretrain's datasets; ``LoadImageFromFile`` tells
            how images are decoded.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``, such as ``classes``,
            where the table does not name them.

    Raises:
        ValueError: If it can't be opened, or lacks a column, or one is of another kind.
        ImportError: If the library is missing.
    """

    def __init__(
        self,
        path: str,
        split: str = 'train',
        image: str = 'image',
        label: str | None = None,
        load: dict | None = None,
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        self.image = image
        self.label = label
        self.path = path
        self.rows, classes = open_rows(path, split, image, label, load, streaming=False)
        self.loader, steps = take_loader(pipeline)
        if classes is not None:
            kwargs['metainfo'] = {'classes': classes, **(kwargs.get('metainfo') or {})}
        super().__init__(ann_file='', pipeline=steps, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the rows and their labels; no image is read."""
        labels = [None] * len(self.rows)
        if self.label is not None:
            labels = self.rows.select_columns([self.label])[:][self.label]
        # no file's name, but one for every table and row
        table = f'huggingface://{self.rows._fingerprint}'
        return [
            {'row': i, 'img_path': f'{table}/{i}', **label_of(label)}
            for i, label in enumerate(labels)
        ]

    def prepare_data(self, idx: int) -> Any:
        """Read and decode an image, and run the transforms."""
        info = self.get_data_info(idx)
        data = bytes_of(self.rows[info['row']][self.image])
        name = f'{self.path}, row {info["row"]}'
        image = decode(data, self.loader, name)
        return self.pipeline({**image, **info})
