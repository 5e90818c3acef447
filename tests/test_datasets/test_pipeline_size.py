import random

import numpy as np
import pytest
import torch

from mmvitkd.datasets.pipeline_size import pipeline_size

LOAD = {'type': 'LoadImageFromFile'}
PACK = {'type': 'PackInputs'}
CROP = {'type': 'RandomResizedCrop', 'scale': 160}


@pytest.mark.parametrize(
    'steps, size',
    [
        ([LOAD, CROP, {'type': 'RandomFlip', 'prob': 0.5}, PACK], (160, 160)),
        ([{'type': 'Resize', 'scale': (48, 32)}, PACK], (32, 48)),  # mmcv's is (w, h)
        ([LOAD, {'type': 'ResizeEdge', 'scale': 64, 'edge': 'short'},
          {'type': 'CenterCrop', 'crop_size': 56}, PACK], (56, 56)),
        ([LOAD, {'type': 'mmpretrain.RandomCrop', 'crop_size': 32, 'padding': 4}, PACK],
         (32, 32)),
        ([LOAD, PACK], None),  # as large as the image
        ([LOAD, {'type': 'ResizeEdge', 'scale': 64, 'edge': 'short'}, PACK], None),
        ([LOAD, {'type': 'NoSuchTransform'}, PACK], None),
        ([], None),
    ],
)  # fmt: skip
def test_what_a_pipeline_yields(steps, size):
    dataset = {'type': 'CustomDataset', 'pipeline': steps}
    assert pipeline_size(dataset, 'mmvitkd') == size


def test_wrapped_data_sets():
    inner = {'type': 'CustomDataset', 'pipeline': [CROP, PACK]}
    wrapped = {'type': 'ConcatDataset', 'datasets': [inner]}
    repeated = {'type': 'RepeatDataset', 'times': 2, 'dataset': wrapped}
    assert pipeline_size(repeated, 'mmvitkd') == (160, 160)
    assert pipeline_size({'type': 'TorchData'}, 'mmvitkd') is None


def test_it_draws_no_random_number():
    """A run without it would have the same."""
    torch.manual_seed(0)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    pipeline_size({'pipeline': [CROP, PACK]}, 'mmvitkd')
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
