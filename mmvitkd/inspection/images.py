"""Images to ask models about: of a folder, or of a config's data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from mmvitkd.datasets.image_files import EXTENSIONS
from mmvitkd.registry import DATASETS
from mmvitkd.utils.class_names import dataset_classes
from mmvitkd.utils.config_file import open_named

if TYPE_CHECKING:
    from .models import Model

SIZE = 224
# of the shorter side, what is kept: 224 of 256, as ImageNet is tested
CROP = 224 / 256


class Image(NamedTuple):
    """One image: its name, uint8 RGB ``(H, W, 3)``, and its label if it has one."""

    name: str
    pixels: np.ndarray
    label: int | None = None


def load(folder: str | Path, count: int, size: int = SIZE) -> list[Image]:
    """Read images of a folder and its subfolders, spread evenly over all of them.

    Args:
        folder: Where to look.
        count: How many at most.
        size: Crop the centre of each to a square of this side, as ImageNet is tested.
            Defaults to 224.

    Raises:
        ValueError: If the folder does not exist, has no images, or one can't be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"image folder '{folder}' does not exist")
    files = sorted(f for f in folder.rglob('*') if f.suffix.lower() in EXTENSIONS)
    if not files:
        raise ValueError(
            f"image folder '{folder}' has no images: looked for {', '.join(EXTENSIONS)}"
        )
    steps = [
        {'type': 'LoadImageFromFile'},
        {'type': 'ResizeEdge', 'scale': round(size / CROP), 'edge': 'short'},
        {'type': 'CenterCrop', 'crop_size': size},
    ]
    pipeline = [TRANSFORMS.build(step) for step in steps]
    images = []
    for file in (files[i] for i in _spread(len(files), count)):
        data: Any = {'img_path': str(file)}
        try:
            for step in pipeline:
                data = step(data)
        except Exception as error:  # every format has errors of its own for bad bytes
            raise ValueError(f"image '{file}' can't be read: {error}") from error
        rgb = np.ascontiguousarray(data['img'][..., ::-1])  # loaded as BGR
        images.append(Image(str(file.relative_to(folder)), rgb))
    return images


class ImageData:
    """Images of a config's data set, each read when it is asked for.

    Args:
        dataset: Built.
        places: Which of its images.
        flip: Whether they are BGR.
        config: What messages call it.
    """

    def __init__(
        self, dataset: Any, places: Sequence[int], flip: bool, config: Any
    ) -> None:
        self.dataset = dataset
        self.places = places
        self.flip = flip
        self.config = config

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty where the data set has none."""
        return dataset_classes(self.dataset) or ()

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Image]:
        return (self[i] for i in range(len(self)))

    def name(self, i: int) -> str:
        """Name an image, which is not read."""
        index = int(self.places[i])
        path = self.dataset.get_data_info(index).get('img_path')
        return Path(path or f'{index:05d}').name

    def __getitem__(self, i: int) -> Image:
        """Read an image.

        Raises:
            ValueError: If it is no plain one.
        """
        index = int(self.places[i])
        data = self.dataset[index]
        pixels, sample = data['inputs'], data['data_samples']
        plain = pixels.dtype == torch.uint8 and pixels.ndim == 3
        if not plain or len(pixels) not in (1, 3):
            raise ValueError(
                f"config '{self.config}': its pipeline yields {tuple(pixels.shape)} of "
                f'{pixels.dtype}, but images must be (3, H, W) or (1, H, W) of uint8'
            )
        pixels = pixels.expand(3, -1, -1)  # of one channel, grey
        pixels = (pixels.flip(0) if self.flip else pixels).permute(1, 2, 0)
        return Image(self.name(i), pixels.contiguous().numpy(), _label(sample))


def _label(sample: Any) -> int | None:
    """Return the one class of a sample; None where there is none, or several."""
    label = sample.get('gt_label') if 'gt_label' in sample else None
    return int(label) if label is not None and label.numel() == 1 else None


def load_for(
    models: Sequence[Model], folder: str | None, data: str | None, count: int
) -> tuple[list[Image], tuple[str, ...]]:
    """Read images of a config, or of a folder, as large as any of the models wants.

    Args:
        models: That will be loaded.
        folder: Of :func:`load`.
        data: Of :func:`load_data`; None for the folder.
        count: How many at most.

    Returns:
        The images, and the names of their classes, as far as known.

    Raises:
        ValueError: If neither is given, or there are no images.
    """
    if data is not None:
        opened = open_data(data, count)
        return list(opened), opened.classes
    if folder is None:
        raise ValueError('no images: give a folder of images or a config')
    sizes = [max(m.input_size) for m in models if m.input_size is not None]
    return load(folder, count, max(sizes, default=SIZE)), ()


def load_data(config: str | Path | Config, count: int) -> list[Image]:
    """Read images of a config, as :func:`open_data` has them, all at once."""
    return list(open_data(config, count))


def open_data(config: str | Path | Config, count: int) -> ImageData:
    """Open images of a config's test split, or else its validation split.

    They come out of its own pipeline, spread evenly over the split.

    Args:
        config: Any MMPretrain config with such a data loader, or its file.
        count: How many at most.

    Raises:
        ValueError: If the config has no such data.
    """
    if isinstance(config, Config):
        cfg, config = config, config.filename
    else:
        cfg = open_named(config)
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if loader is None:
        raise ValueError(f"config '{config}' has no test_dataloader or val_dataloader")
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        dataset = DATASETS.build(deepcopy(loader.dataset))
    # a pipeline that loads BGR says so by what the preprocessor has to do
    model = cfg.get('model') or {}
    preprocessor = cfg.get('data_preprocessor') or model.get('data_preprocessor') or {}
    flip = bool(preprocessor.get('to_rgb'))
    return ImageData(dataset, _spread(len(dataset), count).tolist(), flip, config)


def choose_varied(images: Sequence[Image], count: int) -> list[Image]:
    """Choose images of as many classes as there are, or else from all over the list."""
    labels = [image.label for image in images]
    if None in labels:
        return [images[i] for i in _spread(len(images), count)]
    seen: Counter[int | None] = Counter()
    rounds = []  # how many of the same class come before
    for label in labels:
        rounds.append(seen[label])
        seen[label] += 1
    order = sorted(range(len(images)), key=lambda i: (rounds[i], i))
    first = order[: len(seen)]
    if count < len(first):
        return [images[first[i]] for i in _spread(len(first), count)]
    return [images[i] for i in sorted(order[:count])]


def stack(images: list[Image]) -> Tensor:
    """Make ``(B, 3, H, W)``, 0 to 255, RGB.

    Raises:
        ValueError: If the images differ in size.
    """
    shapes = sorted({image.pixels.shape for image in images})
    if len(shapes) > 1:
        raise ValueError(
            f'the images differ in size, {shapes[0][:2]} and {shapes[-1][:2]}: let '
            'the pipeline end with one size, by ResizeEdge and CenterCrop'
        )
    pixels = np.stack([image.pixels for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def _spread(total: int, count: int) -> np.ndarray:
    """Choose ``count`` places at equal distances."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int)
