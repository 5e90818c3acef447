"""Images that are bytes of a file, as shards and tables hold them."""

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmvitkd.registry import TRANSFORMS

from .fast import ReadRandomResizedCrop


def take_loader(pipeline: Sequence[Any]) -> tuple[LoadImageFromFile, list[Any]]:
    """Build a pipeline, and take its step that reads files out of it.

    So the pipelines of data sets of files serve as they are.

    Args:
        pipeline: Transforms, or their configs.

    Returns:
        The step, which tells how images are decoded, and all others.
    """
    steps = [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline]
    loaders = [step for step in steps if isinstance(step, LoadImageFromFile)]
    rest = [step for step in steps if not isinstance(step, LoadImageFromFile)]
    return (loaders or [LoadImageFromFile()])[0], rest


def decode(data: bytes, loader: LoadImageFromFile, name: str) -> dict[str, Any]:
    """Decode an image, as a step that reads files would.

    Args:
        data: The file.
        loader: That step.
        name: Of the image, for messages.

    Returns:
        What the step yields: ``img``, ``(H, W, C)``, its sizes, and the name as
        ``img_path``.

    Raises:
        ValueError: If it can't be decoded.
    """
    if isinstance(loader, ReadRandomResizedCrop):
        return _decode_crop(data, loader, name)
    try:
        image = mmcv.imfrombytes(
            data, flag=loader.color_type, backend=loader.imdecode_backend
        )
    except Exception:  # every decoder has its own
        image = None
    if image is None:
        raise _damaged(data, name)
    if loader.to_float32:
        image = image.astype(np.float32)
    shape = image.shape[:2]
    return {'img': image, 'img_shape': shape, 'ori_shape': shape, 'img_path': name}


def _decode_crop(data: bytes, loader: ReadRandomResizedCrop, name: str) -> dict:
    try:
        return loader.from_bytes(data, {'img_path': name})
    except Exception as error:  # every decoder has its own
        raise _damaged(data, name) from error


def _damaged(data: bytes, name: str) -> ValueError:
    return ValueError(
        f"the image '{name}' ({len(data)} bytes) is damaged, or of a kind that is not "
        'supported'
    )
