"""RandAugment's operations on uint8 ``(H, W, 3)``, to the pixel as MMCV's.

What changes a value by itself alone becomes a table of 256 entries, which MMCV's own
function fills.
"""

from collections.abc import Callable

import cv2
import numpy as np

# every value once, as an image, (1, 256, 3)
RAMP = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)


def by_table(
    image: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Apply a function of single values to an image."""
    table = function(RAMP).astype(np.uint8)
    return cv2.LUT(image, np.ascontiguousarray(table[:, :, :1]))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean of the grey image; ``mmcv.adjust_contrast``."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mean = round(int(grey.sum(dtype=np.int64)) / grey.size)
    return by_table(image, lambda ramp: _blend(ramp, np.full_like(ramp, mean), factor))


def adjust_sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with a smoothed image; ``mmcv.adjust_sharpness``."""
    kernel = np.array([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13
    return _blend(image, cv2.filter2D(image, -1, kernel), factor)


def _blend(image: np.ndarray, other: np.ndarray, factor: float) -> np.ndarray:
    both = [one.astype(np.float32) for one in (image, other)]
    blended = cv2.addWeighted(both[0], factor, both[1], 1 - factor, 0)
    return np.clip(blended, 0, 255, out=blended).astype(np.uint8)


def auto_contrast(image: np.ndarray) -> np.ndarray:
    """Stretch every channel to 0 to 255; ``mmcv.auto_contrast``."""
    tables = []
    for channel in cv2.split(image):
        low, high, _, _ = cv2.minMaxLoc(channel)
        table = np.arange(256.0)
        if low < high:
            scale = 255.0 / (int(high) - int(low))
            table = np.clip(table * scale + -int(low) * scale, 0, 255)
        tables.append(table.astype(np.uint8))
    return cv2.LUT(image, np.stack(tables, axis=-1)[None])


def equalize(image: np.ndarray) -> np.ndarray:
    """Equalise the histogram of every channel; ``mmcv.imequalize``."""
    tables = []
    for channel in cv2.split(image):
        counts = cv2.calcHist([channel], [0], None, [256], [0, 256])
        counts = counts.ravel().astype(np.int64)
        last = counts[np.nonzero(counts)[0][-1]]
        step = (counts.sum() - last) // 255
        table = np.arange(256)
        if step:
            sums = (np.cumsum(counts) + step // 2) // step
            table = np.minimum(np.concatenate([[0], sums[:-1]]), 255)
        tables.append(table.astype(np.uint8))
    return cv2.LUT(image, np.stack(tables, axis=-1)[None])


def adjust_colour(image: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the grey image; ``mmcv.adjust_color``."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return cv2.addWeighted(
        image, factor, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), 1 - factor, 0
    )
