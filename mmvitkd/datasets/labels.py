"""The labels of a data set, without reading its images."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset


def count_labels(dataset: Any) -> Counter[int] | None:
    """Count how many samples have a label, also under wrappers of any depth.

    Repeated samples may count once.

    Returns:
        The counts by label; None where the data set does not tell labels, or its
        samples have none.
    """
    annotations = annotations_of(dataset)
    if annotations is None:
        return None
    return Counter(chain.from_iterable(map(labels_in, annotations))) or None


def count_labelled(dataset: Any) -> tuple[int, int] | None:
    """Count the samples that have a label, and all; None where that is not told."""
    annotations = annotations_of(dataset)
    if annotations is None:
        return None
    has = [_is_labelled(annotation) for annotation in annotations]
    return sum(has), len(has)


def _is_labelled(annotation: Any) -> bool:
    keys = ('gt_label', 'gt_score')
    if isinstance(annotation, dict):
        return any(annotation.get(key) is not None for key in keys)
    return True


def single_labels(dataset: Any) -> np.ndarray:
    """Return the one label of every sample, ``(N, )``.

    Raises:
        ValueError: If a sample has none, or several.
    """
    found = [labels_in(annotation) for annotation in annotations_of(dataset) or ()]
    if not found or any(len(labels) != 1 for labels in found):
        raise ValueError(
            f'{type(dataset).__name__}: a stratified part of it needs samples of one '
            'label each, as the data sets of classification have them'
        )
    return np.array(found)[:, 0]


def annotations_of(dataset: Any) -> Iterable[Any] | None:
    """Return every sample's annotation, or its bare label."""
    if isinstance(dataset, IterableDataset):
        return None
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if hasattr(dataset, 'datasets'):  # concatenated
        parts = [annotations_of(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return chain.from_iterable(known) if len(known) == len(parts) else None
    if hasattr(dataset, 'dataset'):  # repeated, balanced, replayed, folds, a subset
        inner = annotations_of(dataset.dataset)
        indices = getattr(dataset, 'indices', None)
        if inner is None or indices is None:
            return inner
        inner = list(inner)
        return [inner[int(i)] for i in indices]
    if hasattr(dataset, 'get_data_info'):
        return (dataset.get_data_info(i) for i in range(len(dataset)))
    return getattr(dataset, 'targets', None)  # torchvision's


def labels_in(annotation: Any) -> tuple[int, ...]:
    """Return the labels of a sample: one, several or none."""
    label = annotation
    if isinstance(annotation, dict):
        label = annotation.get('gt_label')
        if label is None and annotation.get('gt_score') is not None:
            label = np.flatnonzero(np.asarray(annotation['gt_score']))
    if isinstance(label, int):
        return (label,)
    if isinstance(label, (list, tuple, np.ndarray, np.generic, Tensor)):
        return tuple(int(number) for number in np.asarray(label).flatten())
    return ()
