from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmvitkd.registry import DATASETS

from .stratified import check_num_labels, split_order

# Bounds in the one fixed order of the 1,797 scans that `split_order` gives.
SPLITS = {
    'train': (0, 700),
    'val': (700, 1000),
    'trainval': (0, 1000),
    'test': (1000, 1797),
}


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
            start, stop = SPLITS[split]
            classes = len(self.METAINFO['classes'])
            check_num_labels(num_labels, split, classes, stop - start)
        self.split = split
        self.num_labels = num_labels
        super().__init__(ann_file='', metainfo=metainfo, pipeline=pipeline, **kwargs)

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
