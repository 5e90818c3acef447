"""An epoch holds every part by its weight, and follows from seed and epoch alone."""

from collections import Counter
from types import SimpleNamespace
from unittest import mock

import pytest

from mmvitkd.datasets import WeightedSampler

SIZES = 30, 1000, 7


def sampler(weights=(1, 3, 1), sizes=SIZES, **arguments) -> WeightedSampler:
    parts = [range(size) for size in sizes]
    data = SimpleNamespace(datasets=parts)
    return WeightedSampler(data, weights, **{'seed': 0, **arguments})


def epoch(made: WeightedSampler, number: int = 0) -> list[int]:
    made.set_epoch(number)
    return list(made)


def part_of(index: int) -> int:
    return 0 if index < 30 else 1 if index < 1030 else 2


def test_shares_of_an_epoch():
    found = Counter(map(part_of, epoch(sampler(num_samples=100))))
    assert found == {0: 20, 1: 60, 2: 20}
    assert len(epoch(sampler())) == len(sampler()) == sum(SIZES)
    # 1/3 and 2/3 of 100 are no whole numbers
    uneven = Counter(map(part_of, epoch(sampler([1, 1, 1], num_samples=100))))
    assert sorted(uneven.values()) == [33, 33, 34]


def test_every_image_once_before_any_again():
    """Over as many epochs as that takes; within one where a part is small."""
    made = sampler(num_samples=100)
    seen = Counter(i for number in range(50) for i in epoch(made, number))
    large = [seen[i] for i in range(30, 1030)]  # 60 an epoch, 3000 in all
    assert set(large) == {3}
    small = Counter(i for i in epoch(made) if part_of(i) == 2)  # 20 of 7
    assert set(small.values()) == {2, 3}


def test_the_parts_lie_evenly():
    order = epoch(sampler(num_samples=1000))
    for start in range(0, 1000, 50):
        found = Counter(map(part_of, order[start : start + 50]))
        assert abs(found[0] - 10) <= 1 and abs(found[1] - 30) <= 1


def test_the_order_follows_from_seed_and_epoch():
    made = sampler()
    first, second = epoch(made, 0), epoch(made, 1)
    assert first != second
    assert epoch(sampler(), 1) == second and epoch(made, 0) == first
    assert epoch(sampler(seed=1)) != first


@pytest.mark.parametrize('round_up', [True, False])
def test_processes_take_turns(round_up):
    whole = epoch(sampler(num_samples=101))
    found = []
    for rank in range(4):
        info = 'mmvitkd.datasets.weighted_sampler.get_dist_info'
        with mock.patch(info, lambda rank=rank: (rank, 4)):
            made = sampler(num_samples=101, round_up=round_up)
        found.append(epoch(made))
        assert len(found[-1]) == len(made)
    assert [one[0] for one in found] == whole[:4]
    every = Counter(i for one in found for i in one)
    assert sum(every.values()) == (104 if round_up else 101)
    assert every.keys() == Counter(whole).keys()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ({'weights': [1, 2]}, '2 weights, .* has 3 parts'),
        ({'weights': [1, 0, 1]}, 'must be above 0'),
        ({'weights': [1, float('inf'), 1]}, 'must be above 0'),
        ({'sizes': (1, 0, 3)}, 'a part is empty'),
        ({'num_samples': 0}, 'num_samples must be at least 1, got 0'),
    ],
)
def test_what_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        sampler(**arguments)


def test_a_data_set_without_parts():
    with pytest.raises(ValueError, match='range.* has 0 parts'):
        WeightedSampler(range(3), [1.0], seed=0)
