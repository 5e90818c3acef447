"""Real images to compare an exported student by."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.inspection.images import load, open_data
from mmvitkd.models.classifiers.image_shape import Shape
from mmvitkd.utils.built import shorten
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.needs import check_data

from .student import Student

COUNT = 8


def check_images(
    student: Student, shape: Shape, folder: str | None = None
) -> tuple[Tensor, str, tuple[str, ...]]:
    """Read images: of a folder, or the config's test set, or those of scikit-learn.

    Args:
        student: With its config.
        shape: ``(C, H, W)`` that they shall have.
        folder: Where to look. Defaults to None: at the config's test set.

    Returns:
        ``(8, C, H, W)`` of uint8, RGB; what they are; and the names of their classes,
        as far as the test set tells.

    Raises:
        ConfigError: If the folder has none.
    """
    if folder is not None:
        try:
            pixels = [image.pixels for image in load(folder, COUNT, max(shape[1:]))]
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return _shown(pixels, shape), f"images of '{folder}'", ()
    why = 'as the config has no test set'
    if student.cfg.get('test_dataloader'):
        try:
            check_data(student.cfg, 'test')
            with student.building():
                opened = open_data(student.cfg, COUNT)
                pixels = [image.pixels for image in opened]
            return (
                _shown(pixels, shape),
                "images of the config's test set",
                opened.classes,
            )
        except Exception as error:  # whatever a data set needs and has not
            why = f"as the test set can't be read ({shorten(str(error))})"
    pixels, what = _photographs(shape)
    return _shown(pixels, shape), f'{what}, {why}', ()


def _photographs(shape: Shape) -> tuple[list[np.ndarray], str]:
    """Cut parts out of scikit-learn's two photographs; else draw random pixels."""
    try:
        from sklearn.datasets import load_sample_images

        both = load_sample_images().images
    except ImportError:
        drawn = np.random.default_rng(0).integers(0, 256, (COUNT, *shape[1:], 3))
        return list(drawn.astype(np.uint8)), 'RANDOM pixels, since there is no image'
    parts = [both[i % 2][:, 80 * (i // 2) :][:, :320] for i in range(COUNT)]
    return parts, 'parts of two photographs'


def _shown(pixels: list[np.ndarray], shape: Shape) -> Tensor:
    """Make ``(8, C, H, W)`` of uint8, however many ``(H, W, 3)`` there are."""
    return fit(list(islice(cycle(pixels), COUNT)), shape)


def fit(pixels: list[np.ndarray], shape: Shape) -> Tensor:
    """Make ``(B, C, H, W)`` of uint8 of so many ``(H, W, 3)``."""
    fitted = []
    for image in pixels:
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        if tuple(x.shape[-2:]) != shape[1:]:
            x = F.interpolate(x, shape[1:], mode='bilinear', antialias=True)
        if x.shape[1] != shape[0]:  # grey
            x = x.mean(1, keepdim=True).expand(-1, shape[0], -1, -1)
        fitted.append(x.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(fitted)
