"""The labelled images of a training set, prepared as the tested ones are."""

from copy import deepcopy
from typing import Any

import numpy as np
from torch.utils.data import Subset

from mmvitkd.registry import DATASETS
from mmvitkd.utils.types import name_of

from .labels import annotations_of, labels_in
from .stratified import split_order

# wrappers that mix images, or show them several times
LEFT_OUT = ('CachedDataset', 'RepeatDataset', 'ReplayedDataset')


def with_pipeline(dataset: dict, pipeline: list) -> dict:
    """Give a data set, or those that it wraps, another pipeline.

    Args:
        dataset: Config, which stays as it is.
        pipeline: Transforms.
    """
    while name_of(dataset['type']) in LEFT_OUT:
        dataset = dataset['dataset']
    changed = dict(dataset)
    if 'dataset' in changed:
        changed['dataset'] = with_pipeline(changed['dataset'], pipeline)
    elif 'datasets' in changed:
        changed['datasets'] = [
            with_pipeline(one, pipeline) for one in changed['datasets']
        ]
    else:
        changed['pipeline'] = deepcopy(pipeline)
    return changed


def pipeline_of(dataset: dict) -> list:
    """Return the pipeline of a data set, or of the first that it wraps.

    Raises:
        ValueError: If it has none.
    """
    while 'pipeline' not in dataset:
        inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
        if inner is None:
            raise ValueError(f'{name_of(dataset["type"])} has no pipeline')
        dataset = inner
    return dataset['pipeline']


def labelled_subset(dataset: dict, count: int | None = None) -> Any:
    """Build a data set of which only images with one label are shown.

    Args:
        dataset: Config.
        count: How many at most, of every class in its proportion. Defaults to None:
            all.

    Raises:
        ValueError: If there are none, or the data set does not tell its labels.
    """
    built = DATASETS.build(deepcopy(dataset))
    found = [labels_in(one) for one in annotations_of(built) or ()]
    places = np.array([i for i, labels in enumerate(found) if len(labels) == 1], int)
    if not len(places):
        raise ValueError(
            f'{type(built).__name__} has no images with one label each, without which '
            'no k-NN or linear classifier can be had: give a data set of classes'
        )
    if count is not None and count < len(places):
        labels = np.array([found[i][0] for i in places])
        places = np.sort(places[split_order(labels)[:count]])
    return built if len(places) == len(built) else Subset(built, places.tolist())
