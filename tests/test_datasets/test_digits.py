"""The digits dataset: what it holds never changes and never overlaps."""

import sys

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS as UPSTREAM

from mmvitkd.datasets import Digits

FIRST_SCANS = {
    'train': [143, 70, 495, 613, 1222],
    'test': [12, 373, 1462, 251, 776],
}
SIZES = {'train': 700, 'val': 300, 'trainval': 1000, 'test': 797}


def places(dataset: Digits) -> list[int]:
    """Which of scikit-learn's scans a dataset holds, in its order."""
    return [dataset.get_data_info(i)['scan_index'] for i in range(len(dataset))]


@pytest.mark.parametrize(('split', 'size'), SIZES.items())
def test_split_has_its_size(split, size):
    assert len(Digits(split)) == size


def test_splits_are_disjoint_and_hold_every_scan():
    train, val, test = (set(places(Digits(s))) for s in ('train', 'val', 'test'))
    assert train | val | test == set(range(1797))
    assert len(train) + len(val) + len(test) == 1797


def test_trainval_is_train_and_val():
    assert places(Digits('trainval')) == places(Digits('train')) + places(Digits('val'))


def test_splits_are_the_same_on_every_machine():
    assert places(Digits('train'))[:5] == FIRST_SCANS['train']
    assert places(Digits('test'))[:5] == FIRST_SCANS['test']


@pytest.mark.parametrize(('split', 'size'), SIZES.items())
def test_split_is_stratified(split, size):
    from sklearn.datasets import load_digits

    share = np.bincount(load_digits().target) / 1797
    counts = np.bincount(Digits(split).get_gt_labels(), minlength=10)
    assert np.abs(counts - share * size).max() < 2


@pytest.mark.parametrize('num_labels', [10, 50, 199, 200, 700])
def test_few_labels_are_stratified(num_labels):
    labels = Digits('train', num_labels=num_labels).get_gt_labels()
    counts = np.bincount(labels, minlength=10)
    assert len(labels) == num_labels
    assert counts.max() - counts.min() <= 3
    assert counts.min() >= 1


def test_fewer_labels_are_contained_in_more():
    chosen = [places(Digits('train', num_labels=n)) for n in (10, 100, 200, 700)]
    for fewer, more in zip(chosen, chosen[1:], strict=False):
        assert set(fewer) < set(more)
    assert set(chosen[-1]) == set(places(Digits('train')))


def test_image_equals_the_scan():
    from sklearn.datasets import load_digits

    scans = load_digits()
    dataset = Digits('val')
    for i in range(0, len(dataset), 37):
        sample = dataset[i]
        assert sample['img'].dtype == np.uint8
        assert sample['img'].shape == (8, 8, 3)
        scan = scans.images[sample['scan_index']]
        for channel in range(3):
            assert (np.rint(sample['img'][..., channel] / 255 * 16) == scan).all()
        assert sample['gt_label'] == scans.target[sample['scan_index']]


def test_classes_are_the_digits():
    assert Digits('val').metainfo['classes'] == tuple('0123456789')


@pytest.mark.parametrize('scope', ['mmvitkd', 'mmpretrain'])
def test_found_by_its_full_name_in_any_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        assert len(UPSTREAM.build({'type': 'mmvitkd.Digits', 'split': 'val'})) == 300


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_yields_the_same_images_in_workers(workers):
    resize = {'type': 'Resize', 'scale': 32}
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        loader = Runner.build_dataloader(
            {
                'batch_size': 100,
                'num_workers': workers,
                'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                'dataset': {
                    'type': 'Digits',
                    'split': 'val',
                    'pipeline': [resize, {'type': 'PackInputs'}],
                },
            }
        )
        batches = list(loader)
    assert [len(batch['inputs']) for batch in batches] == [100, 100, 100]
    assert batches[0]['inputs'][0].shape == (3, 32, 32)
    labels = [int(s.gt_label) for batch in batches for s in batch['data_samples']]
    assert labels == Digits('val').get_gt_labels().tolist()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'split': 'training'}, "split='training'.*'test', 'train', 'trainval', 'val'"),
        ({'num_labels': 5}, 'num_labels=5.*10.*700'),
        ({'num_labels': 701}, 'num_labels=701.*10.*700'),
        ({'num_labels': 0.5}, 'num_labels=0.5.*whole number'),
        ({'num_labels': True}, 'num_labels=True.*whole number'),
        ({'split': 'test', 'num_labels': 200}, "num_labels=200.*'train' only"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Digits(**arguments)


def test_missing_scikit_learn_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        Digits('val')
