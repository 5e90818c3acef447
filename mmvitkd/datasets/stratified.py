"""One fixed order of a data set's images, of which every part holds all classes."""

import numpy as np


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


def check_num_labels(num_labels: int, split: str, lowest: int, highest: int) -> None:
    """Refuse a count of labels that a split cannot give.

    Args:
        num_labels: The count.
        split: Of which only ``'train'`` has one.
        lowest: How many classes there are.
        highest: How many images the split has.

    Raises:
        ValueError: If it is no whole number between them, or for another split.
    """
    if split != 'train':
        raise ValueError(
            f"num_labels={num_labels!r} is for split='train' only, "
            f'not for split={split!r}'
        )
    is_count = isinstance(num_labels, int) and not isinstance(num_labels, bool)
    if not is_count or not lowest <= num_labels <= highest:
        raise ValueError(
            f'num_labels={num_labels!r}: must be a whole number from '
            f'{lowest} (one of each class) to {highest} (all of them)'
        )
