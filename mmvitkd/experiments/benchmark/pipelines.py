"""How long the transforms of a training pipeline take on one core."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch.utils.data import IterableDataset

from mmvitkd.datasets.fast import KINDS, faster
from mmvitkd.datasets.image_bytes import take_loader
from mmvitkd.datasets.image_check import inner_dataset
from mmvitkd.registry import DATASETS, SCOPE, TRANSFORMS

from ..timing import time_rounds

AS_IT_IS = 'as it is'
READING = 'the data set'  # what it does itself: annotations, mostly; bytes, in tables
Seconds = dict[str, list[float]]  # by step, for every round, all images


def pipeline_of(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the transforms of a data set's config, or of the first one it wraps.

    Raises:
        ValueError: If there are none.
    """
    while not dataset.get('pipeline'):
        inner = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
        if inner is None:
            raise ValueError(f'the data set {dataset.get("type")} has no pipeline')
        dataset = inner
    return dataset['pipeline']


def time_pipelines(
    cfg: Config,
    images: int,
    rounds: int,
    photographs: list[Path] | None = None,
) -> dict[str, Seconds]:
    """Time a config's pipeline and its faster ones, on the same images and seeds.

    Args:
        cfg: Of a training.
        images: How many.
        rounds: How many count; one more, before, does not.
        photographs: Files to take instead of the config's images.

    Returns:
        By the pipelines' names.

    Raises:
        ValueError: If the data set can't be built, is a stream, or has no pipeline.
    """
    cv2.setNumThreads(0)  # as in a loader's workers
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', SCOPE)):
        steps = pipeline_of(cfg.train_dataloader.dataset)
        pipelines = {AS_IT_IS: steps, **_faster(steps)}
        if photographs is None:
            prepare = _own_images(cfg.train_dataloader.dataset, images)
        else:
            prepare = _files(photographs)
        found: dict[str, Seconds] = {name: {} for name in pipelines}
        passes = {
            name: partial(
                _pass, *prepare(deepcopy(one)), found[name], iter(range(99999))
            )
            for name, one in pipelines.items()
        }
        time_rounds(passes, rounds, 1, process_time)
    return {
        name: {step: seconds[-rounds:] for step, seconds in each.items()}
        for name, each in found.items()
    }


def _faster(steps: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for kind in KINDS:
        try:
            found[kind] = faster(steps, kind)
        except ValueError:  # there is nothing to make faster
            continue
    return found


# what the data set does for an image, and the transforms behind that
Prepared = tuple[list[Callable[[], Any]], list[Any]]


def _files(files: list[Path]) -> Callable[[list[Any]], Prepared]:
    infos = [
        {'img_path': str(file), 'gt_label': 0, 'sample_idx': number}
        for number, file in enumerate(files)
    ]
    reads: list[Callable[[], Any]] = [partial(dict, info) for info in infos]
    return lambda steps: (reads, [TRANSFORMS.build(step) for step in steps])


def _own_images(cfg: Any, count: int) -> Callable[[list[Any]], Prepared]:
    """Draw images of a config's data set.

    Raises:
        ValueError: If it is a stream.
    """
    whole = inner_dataset(DATASETS.build(cfg))
    if isinstance(whole, IterableDataset) or not hasattr(whole, 'prepare_data'):
        raise ValueError(
            f'{type(whole).__name__} has no images that could be taken one by one: '
            '--photographs times its pipeline on others'
        )
    whole.full_init()
    places = np.random.default_rng(0).integers(len(whole), size=count)

    def prepare(steps: list[Any]) -> Prepared:
        dataset = copy(whole)
        if hasattr(whole, 'loader'):  # of a table, which decodes by itself
            dataset.loader, transforms = take_loader(steps)
        else:
            transforms = [TRANSFORMS.build(step) for step in steps]
        dataset.pipeline = Compose([])
        return [partial(dataset.prepare_data, int(i)) for i in places], transforms

    return prepare


def _pass(
    reads: list[Callable[[], Any]],
    transforms: list[Any],
    found: Seconds,
    rounds: Any,
) -> None:
    """Make every image once, and note what each step took of the core."""
    seed = next(rounds)
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    names = [READING, *_names(transforms)]
    seconds = dict.fromkeys(names, 0.0)
    for read in reads:
        begin = process_time()
        data = read()
        for name, step in zip(names, [None, *transforms], strict=True):
            data = data if step is None else step(data)
            end = process_time()
            seconds[name] += end - begin
            begin = end
    for name, value in seconds.items():
        found.setdefault(name, []).append(value)


def _names(transforms: list[Any]) -> list[str]:
    kinds = [type(step).__name__ for step in transforms]
    return [
        kind if kinds.count(kind) == 1 else f'{kind} ({number})'
        for number, kind in enumerate(kinds, 1)
    ]
