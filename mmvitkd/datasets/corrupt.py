from collections.abc import Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmvitkd.registry import TRANSFORMS

WHITE = 255
Seed = tuple[int, int]


def _gaussian_noise(image: np.ndarray, deviation: float, seed: Seed) -> np.ndarray:
    return image + WHITE * deviation * _stream(seed).standard_normal(image.shape)


def _shot_noise(image: np.ndarray, photons: float, seed: Seed) -> np.ndarray:
    return _stream(seed).poisson(image / WHITE * photons) * (WHITE / photons)


def _stream(seed: Seed) -> np.random.RandomState:
    return np.random.RandomState(seed)  # the legacy stream never changes


def _gaussian_blur(image: np.ndarray, deviation: float, _: Seed) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), deviation * min(image.shape[:2]))


def _contrast(image: np.ndarray, share: float, _: Seed) -> np.ndarray:
    middle = image.mean(axis=(0, 1))
    return middle + share * (image - middle)


def _brightness(image: np.ndarray, added: float, _: Seed) -> np.ndarray:
    return image + WHITE * added


def _pixelate(image: np.ndarray, share: float, _: Seed) -> np.ndarray:
    height, width = image.shape[:2]
    size = max(1, round(share * width)), max(1, round(share * height))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


Corruption = Callable[[np.ndarray, float, Seed], np.ndarray]
# what each does, and how much of it at severities 1 to 5
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    'gaussian_noise': (_gaussian_noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
    'shot_noise': (_shot_noise, (100, 50, 25, 12, 6)),
    'gaussian_blur': (_gaussian_blur, (0.015, 0.02, 0.025, 0.03, 0.04)),
    'contrast': (_contrast, (0.7, 0.5, 0.35, 0.25, 0.15)),
    'brightness': (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    'pixelate': (_pixelate, (0.8, 0.65, 0.5, 0.4, 0.3)),
}


@TRANSFORMS.register_module()
class Corrupt(BaseTransform):
    """Spoil an image as cameras and their settings do, the same way every time.

    Six kinds of the 15 in `Benchmarking Neural Network Robustness to Common
    Corruptions and Perturbations <https://arxiv.org/abs/1903.12261>`_, with strengths
    of our own, which suit images from 28x28 pixels up; figures are none of ImageNet-C.
    What a number means, from the mildest to the most severe:

    - ``'gaussian_noise'``: its standard deviation as a share of white, 0.04 to 0.26;
    - ``'shot_noise'``: the photons that white stands for, 100 to 6, Poisson's;
    - ``'gaussian_blur'``: the standard deviation as a share of the shorter side,
      0.015 to 0.04;
    - ``'contrast'``: what is left of a pixel's distance to the image's mean, 0.7 to
      0.15;
    - ``'brightness'``: what is added, as a share of white, 0.1 to 0.5;
    - ``'pixelate'``: what is left of the resolution, 0.8 to 0.3.

    Noise is drawn for every pixel and channel, from the seed and the image's place in
    the data set, ``sample_idx``. To be put before the step that packs the image.

    Args:
        corruption: Which of them.
        severity: From 1 to 5. Defaults to 3.
        seed: Of the noise. Defaults to 0.

    Raises:
        ValueError: If an argument is none of these. When called: if an image is not of
            uint8 ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, or has no place.
    """

    def __init__(self, corruption: str, severity: int = 3, seed: int = 0) -> None:
        if corruption not in CORRUPTIONS:
            raise ValueError(
                f'corruption={corruption!r}: must be one of {[*CORRUPTIONS]}'
            )
        self.function, amounts = CORRUPTIONS[corruption]
        if type(severity) is not int or not 1 <= severity <= 5:
            raise ValueError(f'severity={severity!r}: must be 1, 2, 3, 4 or 5')
        self.amount = amounts[severity - 1]
        if type(seed) is not int or seed < 0:
            raise ValueError(f'seed={seed!r}: must be a whole number of at least 0')
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Spoil ``results['img']``."""
        image = np.asarray(results['img'])
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (1,), (3,)):
            raise ValueError(
                'Corrupt needs an image of uint8, (H, W), (H, W, 1) or (H, W, 3), got '
                f'{image.dtype} {image.shape}'
            )
        if 'sample_idx' not in results:
            raise ValueError(
                "Corrupt needs the image's place in its data set, sample_idx, as data "
                "sets made of MMEngine's BaseDataset give it"
            )
        seed = self.seed, results['sample_idx']
        spoilt = self.function(image.astype(np.float64), self.amount, seed)
        spoilt = np.rint(spoilt).clip(0, WHITE).astype(np.uint8)
        return {**results, 'img': spoilt.reshape(image.shape)}
