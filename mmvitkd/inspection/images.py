"""Images to ask models about: of a folder, or of a config's data set."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from mmvitkd.datasets.image_folder import EXTENSIONS
from mmvitkd.registry import DATASETS
from mmvitkd.utils.config_file import open_config

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


def load_for(
    models: Sequence[Model], folder: str | None, data: str | None, count: int
) -> list[Image]:
    """Read images of a config, or of a folder, as large as any of the models wants.

    Args:
        models: That will be loaded.
        folder: Of :func:`load`.
        data: Of :func:`load_data`; None for the folder.
        count: How many at most.

    Raises:
        ValueError: If neither is given, or there are no images.
    """
    if data is not None:
        return load_data(data, count)
    if folder is None:
        raise ValueError('no images: give a folder of images or a config')
    sizes = [max(m.input_size) for m in models if m.input_size is not None]
    return load(folder, count, max(sizes, default=SIZE))


def load_data(config: str | Path | Config, count: int) -> list[Image]:
    """Read images of a config's test split, or else its validation split.

    They come out of its own pipeline, spread evenly over the split.

    Args:
        config: Any MMPretrain config with such a data loader, or its file.
        count: How many at most.

    Raises:
        ValueError: If the config has no such data, or its images are no plain ones.
    """
    if isinstance(config, Config):
        cfg, config = config, config.filename
    elif Path(config).is_file():
        cfg = open_config(config)
    else:
        raise ValueError(f"config '{config}' does not exist")
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if loader is None:
        raise ValueError(f"config '{config}' has no test_dataloader or val_dataloader")
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        dataset = DATASETS.build(deepcopy(loader.dataset))
    # a pipeline that loads BGR says so by what the preprocessor has to do
    model = cfg.get('model') or {}
    preprocessor = cfg.get('data_preprocessor') or model.get('data_preprocessor') or {}
    flip = bool(preprocessor.get('to_rgb'))
    images = []
    for index in _spread(len(dataset), count):
        data = dataset[int(index)]
        pixels, sample = data['inputs'], data['data_samples']
        if pixels.dtype != torch.uint8 or pixels.ndim != 3 or len(pixels) != 3:
            raise ValueError(
                f"config '{config}': its pipeline yields {tuple(pixels.shape)} of "
                f'{pixels.dtype}, but images must be (3, H, W) of uint8'
            )
        pixels = (pixels.flip(0) if flip else pixels).permute(1, 2, 0)
        label = int(sample.gt_label) if 'gt_label' in sample else None
        name = Path(sample.get('img_path', '') or f'{index:05d}').name
        images.append(Image(name, pixels.contiguous().numpy(), label))
    return images


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
