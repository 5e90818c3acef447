"""How large the images are that a data pipeline yields: seen, not read off."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmvitkd.utils.types import name_of

Grid = tuple[int, int]

# of two blank images, so that what depends on the image's own size shows
TRIALS = ((300, 400), (420, 310))


def pipeline_size(dataset: Any, scope: str) -> Grid | None:
    """Return ``(H, W)`` of the images that a data set yields.

    Its pipeline is run on two blank images.

    Args:
        dataset: Config of a data set, or of one that wraps another.
        scope: In which transforms are looked up.

    Returns:
        None where the sizes differ, or the pipeline can't be run without its data.
    """
    while 'pipeline' not in dataset:
        dataset = dataset.get('dataset') or (dataset.get('datasets') or [None])[0]
        if dataset is None:
            return None
    state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        steps = [
            step
            for step in dataset['pipeline']
            if not name_of(step['type']).startswith('Load')
        ]
        with DefaultScope.overwrite_default_scope(scope):
            transform = Compose(steps)
            sizes = {_size_of(transform(_sample(size))) for size in TRIALS}
    except Exception:  # of a transform that needs more than an image
        return None
    finally:
        random.setstate(state[0])
        np.random.set_state(state[1])
        torch.set_rng_state(state[2])
    return sizes.pop() if len(sizes) == 1 else None


def _sample(size: Grid) -> dict[str, Any]:
    return {
        'img': np.zeros((*size, 3), np.uint8),
        'img_path': '',
        'img_shape': size,
        'ori_shape': size,
        'gt_label': 0,
        'sample_idx': 0,
    }


def _size_of(sample: Any) -> Grid | None:
    inputs = sample['inputs'] if isinstance(sample, dict) else None
    if isinstance(inputs, (list, tuple)):  # several views
        inputs = inputs[0]
    return None if inputs is None else (inputs.shape[-2], inputs.shape[-1])
