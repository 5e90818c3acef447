"""Trainings on images of which few have labels, by weight, in one epoch."""

import pytest
import torch

from tests.helpers import MIMIC
from tests.test_tools.runs import (
    PIPELINE,
    PLAIN,
    config,
    kill,
    loader,
    message,
    run,
    run_together,
    weights,
)

LABELLED = loader('train', PIPELINE, images=16)['dataset']
BARE = {
    'type': 'WithoutLabels',
    'dataset': loader('trainval', PIPELINE, images=64)['dataset'],
}
BOTH = {
    'type': 'ConcatDataset',
    'ignore_keys': ['classes'],
    'datasets': [LABELLED, BARE],
}
SAMPLER = {'type': 'WeightedSampler', 'weights': [1, 3], 'num_samples': 64}
DATA = {
    'train_dataloader.dataset': {'_delete_': True, **BOTH},
    'train_dataloader.sampler': {'_delete_': True, **SAMPLER},
}


@pytest.mark.slow
def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path):
    file = config(tmp_path, 'run', **DATA)
    run('train', file, '--work-dir', tmp_path / 'whole')
    log = next((tmp_path / 'whole').rglob('*.log')).read_text()
    assert '16 of 80 training images have labels' in log
    assert 'right on' in log  # the teacher was tried on those
    kill(6, file, '--work-dir', tmp_path / 'killed')
    run('train', file, '--work-dir', tmp_path / 'killed', '--resume')
    one, two = (weights(tmp_path / n / 'epoch_2.pth') for n in ('whole', 'killed'))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_two_processes(tmp_path):
    """In some batches of theirs no image has a label."""
    sampler = {**SAMPLER, 'weights': [1, 31]}
    changes = {**DATA, 'train_dataloader.sampler': {'_delete_': True, **sampler}}
    file = config(tmp_path, 'run', **changes, **{'train_dataloader.batch_size': 4})
    run_together(2, 'train', file, '--work-dir', tmp_path / 'two')
    assert all(
        v.isfinite().all() for v in weights(tmp_path / 'two/epoch_2.pth').values()
    )


@pytest.mark.parametrize('weight', [1.0, 0.0])
def test_images_of_which_none_has_a_label(tmp_path, weight):
    changes = {**PLAIN, 'model.task_weight': weight}
    terms = {'_delete_': True, 'mimic0': MIMIC}
    file = config(
        tmp_path, 'run', **changes, **{'model.terms': terms},
        **{'train_dataloader.dataset': {'_delete_': True, **BARE}},
    )  # fmt: skip
    arguments = 'train', file, '--work-dir', tmp_path / 'work'
    if weight:
        assert 'set model.task_weight=0' in message(*arguments)
    else:
        run(*arguments)
