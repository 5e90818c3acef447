"""Labels are the same however a data set keeps or wraps them."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from torch.utils.data import Subset, TensorDataset

from mmvitkd.datasets.labels import count_labels
from mmvitkd.registry import DATASETS
from tests.shrink import image_folder, imagenet_folder

DIGITS = {'type': 'Digits', 'split': 'train', 'indices': 40}


def built(cfg):
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        return DATASETS.build(cfg)


def by_hand(dataset) -> Counter:
    """As the training sees them: out of the samples themselves."""
    return Counter(
        int(label)
        for i in range(len(dataset))
        for label in torch.as_tensor(dataset.get_data_info(i)['gt_label']).flatten()
    )


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('lazy', [True, False])
def test_digits(serialize, lazy):
    cfg = {**DIGITS, 'serialize_data': serialize, 'lazy_init': lazy}
    counts = count_labels(built(cfg))
    assert counts == by_hand(built(cfg))
    assert counts.total() == 40


WRAPPERS = {
    'concatenated': ({'type': 'ConcatDataset', 'datasets': [DIGITS, DIGITS]}, 2),
    'repeated': ({'type': 'RepeatDataset', 'dataset': DIGITS, 'times': 3}, 1),
    'balanced': (
        {'type': 'ClassBalancedDataset', 'dataset': DIGITS, 'oversample_thr': 0.5},
        1,
    ),
    'replayed': ({'type': 'ReplayedDataset', 'dataset': DIGITS}, 1),
    'nested': (
        {
            'type': 'RepeatDataset',
            'times': 2,
            'dataset': {
                'type': 'ConcatDataset',
                'datasets': [{'type': 'RepeatDataset', 'dataset': DIGITS, 'times': 2}],
            },
        },
        1,
    ),
}


@pytest.mark.parametrize('name', WRAPPERS)
def test_wrappers(name):
    cfg, times = WRAPPERS[name]
    inner = by_hand(built(DIGITS))
    assert count_labels(built(cfg)) == {k: times * n for k, n in inner.items()}


def test_folds_and_subsets_count_their_own_images():
    folds = {'type': 'KFoldDataset', 'dataset': DIGITS, 'num_splits': 4}
    dataset = built(folds)
    counts = count_labels(dataset)
    assert counts == by_hand(dataset)
    assert counts.total() == 30
    digits = built(DIGITS)
    first = Subset(digits, [0, 5])
    expected = Counter(digits.get_data_info(i)['gt_label'] for i in (0, 5))
    assert count_labels(first) == expected


def test_annotation_files_and_folders(tmp_path):
    root = image_folder(tmp_path / 'images')
    (tmp_path / 'list.txt').write_text('digit_0/0.png 7\ndigit_1/0.png -1\n')
    listed = {
        'type': 'CustomDataset',
        'data_root': str(root),
        'data_prefix': 'train',
        'ann_file': str(tmp_path / 'list.txt'),
    }
    assert count_labels(built(listed)) == {7: 1, -1: 1}
    folder = {'type': 'CustomDataset', 'data_prefix': str(root / 'train')}
    assert count_labels(built(folder)) == dict.fromkeys(range(10), 2)
    assert count_labels(built({**folder, 'with_label': False})) is None
    imagenet = {'type': 'ImageNet', 'data_root': str(tmp_path / 'in1k')}
    imagenet_folder(tmp_path / 'in1k')
    imagenet = built({**imagenet, 'split': 'val'})
    assert count_labels(imagenet) == by_hand(imagenet)


def test_several_labels_an_image(tmp_path):
    annotated = {
        'metainfo': {'classes': ['a', 'b', 'c']},
        'data_list': [
            {'img_path': '1.png', 'gt_label': [0, 2]},
            {'img_path': '2.png', 'gt_label': []},
            {'img_path': '3.png', 'gt_label': [2]},
            {'img_path': '4.png', 'gt_score': [0, 1, 1]},
        ],
    }
    (tmp_path / 'a.json').write_text(json.dumps(annotated))
    cfg = {'type': 'MultiLabelDataset', 'ann_file': str(tmp_path / 'a.json')}
    assert count_labels(built(cfg)) == {0: 1, 1: 1, 2: 3}


def test_numbers_of_any_type():
    """What transforms and torchvision's data sets hold."""

    class Pictures(TensorDataset):
        targets = [3, np.int64(1), torch.tensor(3), torch.tensor([1])]

    assert count_labels(Pictures()) == {3: 2, 1: 2}


def test_what_tells_no_labels():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([])

    assert count_labels(Stream()) is None
    assert count_labels(TensorDataset(torch.zeros(3))) is None
