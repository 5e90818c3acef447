from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mmvitkd.registry import DATASETS

from .labels import single_labels


@DATASETS.register_module(name='BalancedSubset')
def balanced_subset(dataset: dict, fraction: float, seed: int = 0) -> BaseDataset:
    """Build a data set with a part of its images only, the same part of each class.

    At least one image of each class is kept; a smaller fraction's images are among
    those of every larger one with the same seed. What is built is the data set
    itself, so whatever works on it works on its part.

    Args:
        dataset: Config of a data set whose samples have one label each.
        fraction: Of each class's images, above 0 and up to 1.
        seed: Of the choice, the same on every machine. Defaults to 0.

    Raises:
        ValueError: If ``fraction`` is out of its range, or a sample has not one label.
    """
    if isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise ValueError(
            f'fraction={fraction!r}: must be above 0 and at most 1, such as 0.5'
        )
    built: Any = DATASETS.build(dataset)
    labels = single_labels(built)
    rng = np.random.RandomState(seed)  # the legacy stream never changes
    kept = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        kept += members[: max(1, round(fraction * len(members)))].tolist()
    built.get_subset_(sorted(kept))
    return built
