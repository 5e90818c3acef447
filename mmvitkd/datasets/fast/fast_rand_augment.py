from collections.abc import Callable
from math import ceil
from typing import Any

import cv2
import mmcv
import numpy as np
from mmpretrain.datasets.transforms import auto_augment as mmpretrain

from mmvitkd.registry import TRANSFORMS

from . import operations as fast

Operation = Callable[[Any, np.ndarray], np.ndarray]


def _magnitude(operation: Any, value: float | None) -> float:
    """Draw how much an operation does, as it draws it itself."""
    return operation.random_magnitude() if value is None else value


def _signed(operation: Any) -> float:
    return operation.random_negative(_magnitude(operation, operation.magnitude))


def _brightness(operation: Any, image: np.ndarray) -> np.ndarray:
    factor = 1 + _signed(operation)
    return fast.by_table(image, lambda ramp: mmcv.adjust_brightness(ramp, factor))


def _posterize(operation: Any, image: np.ndarray) -> np.ndarray:
    bits = ceil(_magnitude(operation, operation.bits))
    return fast.by_table(image, lambda ramp: mmcv.posterize(ramp, bits))


def _solarize(operation: Any, image: np.ndarray) -> np.ndarray:
    threshold = _magnitude(operation, operation.thr)
    return fast.by_table(image, lambda ramp: mmcv.solarize(ramp, threshold))


def _solarize_add(operation: Any, image: np.ndarray) -> np.ndarray:
    added = _magnitude(operation, operation.magnitude)
    return fast.by_table(
        image,
        lambda ramp: np.where(
            ramp < operation.thr, np.minimum(ramp + added, 255), ramp
        ),
    )


# MMPretrain's operations that have a faster way to the same pixels
FASTER: dict[type, Operation] = {
    mmpretrain.AutoContrast: lambda _, image: fast.auto_contrast(image),
    mmpretrain.Equalize: lambda _, image: fast.equalize(image),
    mmpretrain.Invert: lambda _, image: cv2.bitwise_not(image),
    mmpretrain.Posterize: _posterize,
    mmpretrain.Solarize: _solarize,
    mmpretrain.SolarizeAdd: _solarize_add,
    mmpretrain.Brightness: _brightness,
    mmpretrain.ColorTransform: lambda op, image: fast.adjust_colour(
        image, 1 + _signed(op)
    ),
    mmpretrain.Contrast: lambda op, image: fast.adjust_contrast(image, 1 + _signed(op)),
    mmpretrain.Sharpness: lambda op, image: fast.adjust_sharpness(
        image, 1 + _signed(op)
    ),
}


@TRANSFORMS.register_module()
class FastRandAugment(mmpretrain.RandAugment):
    """MMPretrain's ``RandAugment`` in less time: equal pixels and draws.

    Operations that it has no faster way for, and images that are not uint8
    ``(H, W, 3)``, are MMPretrain's. Arguments as for ``RandAugment``.
    """

    def transform(self, results: dict) -> dict | None:
        """Run the operations that are drawn."""
        for index in self.random_policy_indices():
            operation = self.transforms[index]
            image = results['img']
            faster = FASTER.get(type(operation))
            if faster is None or image.dtype != np.uint8 or image.shape[2:] != (3,):
                results = operation(results)
            elif not operation.random_disable():
                results['img'] = faster(operation, image)
        return results
