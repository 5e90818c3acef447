from collections import Counter

import pytest
from mmengine.registry import DefaultScope

from mmvitkd.datasets import Digits, balanced_subset
from mmvitkd.datasets.labels import count_labels
from mmvitkd.registry import DATASETS

DIGITS = {'type': 'mmvitkd.Digits', 'split': 'train'}


def scans(dataset) -> list[int]:
    return [dataset.get_data_info(i)['scan_index'] for i in range(len(dataset))]


def test_the_same_part_of_each_class():
    whole = count_labels(Digits('train'))
    half = balanced_subset(DIGITS, 0.5)
    assert count_labels(half) == Counter({c: round(n / 2) for c, n in whole.items()})
    assert set(scans(half)) < set(scans(Digits('train')))


def test_seeds_choose_and_fractions_nest():
    half = scans(balanced_subset(DIGITS, 0.5))
    assert scans(balanced_subset(DIGITS, 0.5, seed=0)) == half
    assert scans(balanced_subset(DIGITS, 0.5, seed=1)) != half
    assert set(scans(balanced_subset(DIGITS, 0.1))) < set(half)
    assert scans(balanced_subset(DIGITS, 1.0)) == scans(Digits('train'))


def test_each_class_keeps_an_image():
    assert count_labels(balanced_subset(DIGITS, 0.001)) == Counter(range(10))


def test_it_is_built_by_its_name():
    cfg = {'type': 'mmvitkd.BalancedSubset', 'fraction': 0.1, 'dataset': DIGITS}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(cfg)
    assert type(dataset) is Digits
    assert len(dataset) == 70


@pytest.mark.parametrize('fraction', [0, -0.5, 1.5, True])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=rf'fraction={fraction!r}: must be above 0'):
        balanced_subset(DIGITS, fraction)
