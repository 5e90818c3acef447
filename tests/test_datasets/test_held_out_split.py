"""Images held out to validate are the same everywhere and never trained on."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CIFAR10, CIFAR100

from mmvitkd.datasets import held_out_split
from mmvitkd.registry import DATASETS
from mmvitkd.utils.config_check import read_config
from tests.shrink import CONFIGS

DIGITS = {'type': 'mmvitkd.Digits', 'split': 'trainval'}  # 1000 scans


def scans(num_val=300, **arguments) -> list[int]:
    dataset = held_out_split(DIGITS, num_val, **arguments)
    return [dataset.get_data_info(i)['scan_index'] for i in range(len(dataset))]


def test_splits_are_disjoint_and_hold_every_image():
    train, val, both = (scans(split=s) for s in ('train', 'val', 'trainval'))
    assert (len(train), len(val)) == (700, 300)
    assert len({*train, *val}) == 1000
    assert train + val == both


def test_splits_are_the_same_on_every_machine():
    assert scans(split='val')[:5] == [1593, 1712, 1236, 577, 924]
    assert scans()[:5] == [399, 1085, 647, 1011, 1489]


@pytest.mark.parametrize('arguments', [{}, {'split': 'val'}, {'num_labels': 100}])
def test_splits_are_stratified(arguments):
    whole = np.bincount(DATASETS.build(DIGITS).get_gt_labels()) / 1000
    dataset = held_out_split(DIGITS, 300, **arguments)
    counts = np.bincount(dataset.get_gt_labels(), minlength=10)
    assert np.abs(counts - whole * len(dataset)).max() < 2


def test_fewer_labels_are_contained_in_more_whatever_is_held_out():
    few, more = scans(num_labels=50), scans(num_labels=200)
    assert (len(few), len(more)) == (50, 200)
    assert few == more[:50] == scans(num_val=500, num_labels=50)
    assert not set(more) & set(scans(split='val'))


def test_it_is_built_by_its_name():
    cfg = {'type': 'mmvitkd.HeldOutSplit', 'num_val': 100, 'dataset': DIGITS}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert len(DATASETS.build(cfg)) == 900


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            {'split': 'test'},
            r"split='test': must be one of \['train', 'trainval', 'val",
        ),
        ({'num_val': 9}, 'num_val=9: .* from 10 .* to 990'),
        ({'num_val': 991}, 'num_val=991: .* from 10 .* to 990'),
        ({'num_val': 0.2}, 'num_val=0.2: must be a whole number'),
        ({'num_labels': 9}, 'num_labels=9: .* 10 .* to 700'),
        ({'num_labels': 701}, 'num_labels=701: .* 10 .* to 700'),
        ({'num_labels': 100, 'split': 'val'}, "num_labels=100 is for split='train'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        scans(**arguments)


def test_samples_of_no_label_are_refused():
    unlabelled = {
        'type': 'CustomDataset',
        'data_prefix': str(Path(__file__).parent),
        'extensions': ['.py'],
        'with_label': False,
    }
    with pytest.raises(ValueError, match='CustomDataset: .* samples of one label each'):
        held_out_split(unlabelled, 10)


def write_cifar(dataset: type[CIFAR10], root: Path, key: str, classes: int) -> None:
    """Write random images in CIFAR's format, each class as often."""
    draw = np.random.RandomState(0)
    (root / dataset.base_folder).mkdir()
    for name, _ in [*dataset.train_list, *dataset.test_list]:
        data = draw.randint(0, 256, (2 * classes, 3072), np.uint8)
        labels = draw.permutation(np.arange(2 * classes) % classes).tolist()
        path = root / dataset.base_folder / name
        path.write_bytes(pickle.dumps({'data': data, key: labels}))


@pytest.mark.parametrize(
    ('dataset', 'key', 'classes'),
    [(CIFAR10, 'labels', 10), (CIFAR100, 'fine_labels', 100)],
)
def test_configs_of_cifar(dataset, key, classes, tmp_path, monkeypatch):
    for name in ('train_list', 'test_list'):  # without their checksums
        files = [[file, None] for file, _ in getattr(dataset, name)]
        monkeypatch.setattr(dataset, name, files)
    write_cifar(dataset, tmp_path, key, classes)
    total = 2 * classes * len(dataset.train_list)
    path = CONFIGS / '_base_' / 'datasets' / f'{dataset.__name__.lower()}.py'
    cfg = read_config(path, {'data_root': str(tmp_path), 'num_val': classes})
    assert cfg.data_preprocessor.num_classes == classes
    built = {}
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        for split in ('train', 'val', 'test'):
            built[split] = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            assert built[split][0]['inputs'].shape == (3, 32, 32)
    sizes = {split: len(images) for split, images in built.items()}
    assert sizes == {'train': total - classes, 'val': classes, 'test': 2 * classes}
    assert sorted(built['val'].get_gt_labels()) == list(range(classes))
    pixels = {
        split: {images.get_data_info(i)['img'].tobytes() for i in range(len(images))}
        for split, images in built.items()
    }
    assert len(set.union(*pixels.values())) == sum(sizes.values())
