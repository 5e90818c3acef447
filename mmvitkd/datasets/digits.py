from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmvitkd.registry import DATASETS

# Bounds in the one fixed order of the 1,797 scans that `split_order` gives.
SPLITS = {
    'train': (0, 700),
    'val': (700, 1000),
    'trainval': (0, 1000),
    'test': (1000, 1797),
}


def split_order(labels: np.ndarray) -> np.ndarray:
    """Order the images so that every run of neighbours is stratified.

    Each class is shuffled once with a fixed seed and spread evenly over the
    whole order, so any slice holds every class in its own proportion, to
    within one image or two.

    Args:
        labels: Class indices ``(N, )``.

    Returns:
        A permutation of ``0 .. N-1``, the same on every machine.
    """
    rng = np.random.RandomState(0)  # the legacy stream never changes
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind='stable')


def load_scans() -> tuple[np.ndarray, np.ndarray]:
    """Read scikit-learn's bundled digits.

    Returns:
        The scans as uint8 ``(1797, 8, 8)``, their 17 grey levels spread over
        0 to 255, and their labels as int64 ``(1797, )``.

    Raises:
        ImportError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'mmvitkd.Digits reads the images that come with scikit-learn, '
            "which is not installed: run 'pip install scikit-learn'"
        ) from error
    digits = load_digits()
    scans = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return scans, digits.target.astype(np.int64)


@DATASETS.register_module()
class Digits(BaseDataset):
    """Scikit-learn's bundled handwritten digits: 1,797 real 8x8 scans.

    Nothing is downloaded and no image file is read: a sample starts with the
    image itself, so a pipeline needs no loading step. The splits are fixed
    and stratified: ``'train'`` 700 images, ``'val'`` 300, ``'trainval'`` the
    1,000 of both, ``'test'`` the other 797.

    Args:
        split: ``'train'``, ``'val'``, ``'trainval'`` or ``'test'``.
        num_labels: Keep only so many images of ``'train'``, stratified. A
            smaller choice is contained in every larger one. Defaults to
            None, which keeps all.
        pipeline: Transforms, as in MMPretrain's datasets.
        metainfo: Overrides of the class names. Defaults to None.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If ``split`` or ``num_labels`` is none of the above.
        ImportError: If scikit-learn is not installed.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(
        self,
        split: str = 'train',
        num_labels: int | None = None,
        pipeline: Sequence[Any] = (),
        metainfo: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f'split={split!r}: must be one of {sorted(SPLITS)}')
        if num_labels is not None:
            self._check_num_labels(split, num_labels)
        self.split = split
        self.num_labels = num_labels
        super().__init__(ann_file='', metainfo=metainfo, pipeline=pipeline, **kwargs)

    def _check_num_labels(self, split: str, num_labels: int) -> None:
        """Refuse a count of labels that the split cannot give."""
        if split != 'train':
            raise ValueError(
                f"num_labels={num_labels!r} is for split='train' only, "
                f'not for split={split!r}'
            )
        start, stop = SPLITS[split]
        lowest, highest = len(self.METAINFO['classes']), stop - start
        is_count = isinstance(num_labels, int) and not isinstance(num_labels, bool)
        if not is_count or not lowest <= num_labels <= highest:
            raise ValueError(
                f'num_labels={num_labels!r}: must be a whole number from '
                f'{lowest} (one of each class) to {highest} (all of them)'
            )

    def load_data_list(self) -> list[dict]:
        """List the split's images, labels and places among the scans."""
        scans, labels = load_scans()
        start, stop = SPLITS[self.split]
        if self.num_labels is not None:
            stop = start + self.num_labels
        return [
            {
                'img': np.repeat(scans[i][:, :, None], 3, axis=2),  # (8, 8, 3)
                'gt_label': int(labels[i]),
                'scan_index': int(i),
            }
            for i in split_order(labels)[start:stop]
        ]

    def extra_repr(self) -> list[str]:
        """Describe the split."""
        return [f'Split: \t{self.split}', f'Labels: \t{self.num_labels or "all"}']
