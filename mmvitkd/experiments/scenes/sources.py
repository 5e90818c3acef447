"""What is drawn into scenes: the images of a data set that students are trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes

from mmvitkd.datasets import Digits, FashionMNIST
from mmvitkd.datasets.digits import load_scans
from mmvitkd.datasets.stratified import split_order

# grey levels of an article of Fashion-MNIST, whose background is 0: from this on
CLOTH = 10
# of its 60,000 training images so many are held out, as in configs/fashion_mnist
HELD_OUT = 10000

# of all that is random, an image and the side in pixels that it is enlarged to: the
# share of each pixel that it covers, (side, side), and its colour or grey, broadcast
# to (side, side, 3)
Paint = Callable[
    [np.random.RandomState, np.ndarray, int], tuple[np.ndarray, np.ndarray]
]


class Images(NamedTuple):
    """Of a data set, all those in the same place."""

    images: np.ndarray  # grey, uint8 (N, H, W)
    labels: np.ndarray  # (N, )
    choice: Sequence[int]  # the places of those that may be drawn


@dataclass(frozen=True)
class Source:
    """A data set whose images are drawn."""

    title: str  # of its scenes
    classes: tuple[str, ...]
    kind: str  # what each class is one of
    key: str  # of an instance in the COCO file: the place of its image
    read: Callable[[str], Images]  # given a split: 'train', 'val' or 'test'
    paint: Paint


def read_digits(split: str) -> Images:
    """Read scikit-learn's scans."""
    dataset = Digits(split=split)
    choice = [dataset.get_data_info(i)['scan_index'] for i in range(len(dataset))]
    return Images(*load_scans(), choice)


def paint_digit(
    rng: np.random.RandomState, scan: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge a scan as the students' pipeline does: its ink, of one light colour."""
    colour = rng.uniform(190, 255) + rng.uniform(-25, 25, 3)
    return enlarge(scan, side) / 255, colour.clip(0, 255)


def read_articles(split: str) -> Images:
    """Read Fashion-MNIST; its test images are in files of their own."""
    dataset = FashionMNIST(split='test' if split == 'test' else 'train')
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    labels = np.array([sample['gt_label'] for sample in samples])
    choice = np.arange(len(labels))
    if split != 'test':  # the parts of `mmvitkd.HeldOutSplit`
        order, end = split_order(labels), len(labels) - HELD_OUT
        choice = order[:end] if split == 'train' else order[end:]
    return Images(np.stack([one['img'] for one in samples]), labels, choice.tolist())


def paint_article(
    rng: np.random.RandomState, image: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut an article out of its background, and enlarge it in its own grey."""
    del rng
    inside = binary_fill_holes(image >= CLOTH).astype(np.uint8)
    return enlarge(255 * inside, side) / 255, enlarge(image, side)[..., None]


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Enlarge an image as the students' pipeline does; return float (side, side)."""
    size = (side, side)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(float)


SOURCES = {
    'digits': Source(
        title='Digit scenes',
        classes=Digits.METAINFO['classes'],
        kind='digit',
        key='scan',
        read=read_digits,
        paint=paint_digit,
    ),
    'fashion-mnist': Source(
        title='Fashion-MNIST scenes',
        classes=tuple(FashionMNIST.METAINFO['classes']),
        kind='article',
        key='image',
        read=read_articles,
        paint=paint_article,
    ),
}
