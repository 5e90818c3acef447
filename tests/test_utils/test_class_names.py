"""Which differences between lists of names prove another order, and which do not."""

import pytest
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmvitkd.utils.class_names import (
    checkpoint_classes,
    compare_classes,
    find_moved,
)

ANIMALS = ['cat', 'dog', 'guinea pig']
DIGITS = [str(i) for i in range(12)]
SYNSETS = [f'n{i:08d}' for i in range(3)]


@pytest.mark.parametrize(
    ('teacher', 'data'),
    [
        (ANIMALS, ANIMALS),
        (['Cat', 'DOG', 'Guinea_Pig'], ANIMALS),
        (['cat ', 'dog', 'guinea-pig'], ANIMALS),
        (['Cat, house cat', 'dog', 'guinea pig, cavy'], ANIMALS),
        (IMAGENET_CATEGORIES, [n.split(',')[0] for n in IMAGENET_CATEGORIES]),
        (IMAGENET_CATEGORIES, [f'n{i:08d}' for i in range(1000)]),
        (SYNSETS, ANIMALS),
        (['LABEL_0', 'LABEL_1', 'LABEL_2'], ANIMALS),
        (['0', '1', '2'], ANIMALS),
        (['1', '2', '3'], ['0', '1', '2']),  # numbers that begin elsewhere
        (['class 1', 'class 2'], ['0', '1']),
        (['C', 'C++'], ['C', 'C++']),
        (['猫', '犬'], ['猫', '犬']),
        (['-', '+'], ['-', '+']),
        (ANIMALS[:2], ANIMALS),  # not as many: something else tells
    ],
)
def test_equal_or_nothing_to_say(teacher, data):
    assert compare_classes(teacher, data) is None


@pytest.mark.parametrize(
    ('teacher', 'data'),
    [
        (['dog', 'cat', 'guinea pig'], ANIMALS),
        (['Dog', 'CAT', 'guinea_pig'], ANIMALS),
        (['dog, hound', 'cat, house cat', 'guinea pig'], ANIMALS),
        (sorted(DIGITS), DIGITS),  # 0, 1, 10, 11, 2, as folders are listed
        (SYNSETS[::-1], SYNSETS),
        (['C++', 'C'], ['C', 'C++']),
        (['犬', '猫'], ['猫', '犬']),
        (['+', '-'], ['-', '+']),
        (['cat', 'horse', 'dog'], ANIMALS),  # dog is elsewhere
        (['plane', 'bird', 'car'], ['plane', 'car', 'bird']),
        (['red, small', 'red, large'], ['red, large', 'red, small']),
        ([*IMAGENET_CATEGORIES[1:], IMAGENET_CATEGORIES[0]], IMAGENET_CATEGORIES),
    ],
)
def test_another_order_is_certain(teacher, data):
    assert compare_classes(teacher, data).certain


@pytest.mark.parametrize(
    ('teacher', 'data'),
    [
        (['cat', 'hound', 'guinea pig'], ANIMALS),
        (['plane', 'car', 'ship'], ANIMALS),
    ],
)
def test_other_names_are_doubtful(teacher, data):
    difference = compare_classes(teacher, data)
    assert not difference.certain
    assert f"'{teacher[1]}' to the teacher" in difference.text


def test_the_first_classes_that_differ_are_named():
    text = compare_classes(sorted(DIGITS), DIGITS).text
    assert text.startswith("class 2 is '2' in the data set and '10' to the teacher; ")
    assert text.endswith(' and 7 more')


def test_moved_names():
    assert find_moved(['a', 'B', 'c'], ['a', 'c']) == [('c', 2, 1)]
    assert find_moved(['a', 'a', 'b'], ['b', 'a']) == [('b', 2, 0)]
    assert not find_moved(['a', 'b'], ['a', 'b', 'c'])


@pytest.mark.parametrize(
    ('meta', 'expected'),
    [
        ({'dataset_meta': {'classes': ('a', 'b')}}, ('a', 'b')),
        ({'dataset_meta': {'CLASSES': ['a', 'b']}}, ('a', 'b')),
        ({'CLASSES': ('a', 'b')}, ('a', 'b')),
        ({'dataset_meta': None, 'CLASSES': None}, None),
        ({'dataset_meta': {'classes': 3}}, None),
        ('text', None),
    ],
)
def test_names_in_a_checkpoint(meta, expected):
    assert checkpoint_classes({'meta': meta}) == expected
    assert checkpoint_classes({}) is None
