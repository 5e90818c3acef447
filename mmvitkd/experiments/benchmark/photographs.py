"""JPEGs of scikit-learn's photographs."""

from pathlib import Path

import cv2
import numpy as np

QUALITY = 95


def draw_photographs(
    folder: Path, count: int, size: tuple[int, int] = (375, 500), seed: int = 0
) -> list[Path]:
    """Write sections of two photographs, a pagoda and a flower, as JPEGs.

    Args:
        folder: To write to.
        count: How many.
        size: Height and width. Defaults to the most frequent one on ImageNet.
        seed: Of the sections.

    Returns:
        The files.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_sample_images
    except ModuleNotFoundError as error:
        raise ImportError(
            'the photographs come with scikit-learn: python -m pip install scikit-learn'
        ) from error
    photographs = load_sample_images().images  # (427, 640, 3) each, RGB
    rng = np.random.default_rng(seed)
    files = []
    for number in range(count):
        whole = photographs[number % len(photographs)]
        height = int(whole.shape[0] * rng.uniform(0.6, 1))
        width = min(whole.shape[1], round(height * size[1] / size[0]))
        top = rng.integers(whole.shape[0] - height + 1)
        left = rng.integers(whole.shape[1] - width + 1)
        section = whole[top : top + height, left : left + width, ::-1]
        image = cv2.resize(section, size[::-1], interpolation=cv2.INTER_CUBIC)
        file = folder / f'{number:04}.jpg'
        cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        files.append(file)
    return files
