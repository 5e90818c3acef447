"""The small steps that losses and necks share."""

import math

import pytest
import torch

from mmvitkd.models.utils import (
    bernoulli_mask,
    check_heads,
    check_positive,
    check_weight,
    hard_labels,
    random_mask,
    sincos_positions,
)


def test_the_class_of_largest_share_is_an_images_own():
    shares = torch.tensor([[0.1, 0.6, 0.3], [0.7, 0.0, 0.3], [0.0, 0.2, 0.8]])
    assert hard_labels(shares, 'X').tolist() == [1, 0, 2]


@pytest.mark.parametrize('channels', [8, 6, 5])
def test_positions_of_any_width_by_hand(channels):
    """A quarter each, rounded up: sines of row and column, their cosines."""
    found = sincos_positions((2, 3), channels, torch.device('cpu'))
    assert found.shape == (6, channels)
    for place, (row, column) in enumerate((r, c) for r in (0, 1) for c in (0, 1, 2)):
        speeds = [10000**-0.0, 10000**-0.5]
        wave = [f(at * s) for f in (math.sin, math.cos) for at in (row, column)
                for s in speeds]  # fmt: skip
        assert found[place].tolist() == pytest.approx(wave[:channels], abs=1e-6)


def test_where_a_tensor_is_asked_for_it_is_made():
    meta = torch.device('meta')
    assert random_mask(2, 4, 0.5, meta).device == meta
    assert bernoulli_mask(2, 4, 0.5, meta).device == meta
    assert sincos_positions((2, 3), 8, meta).device == meta


@pytest.mark.parametrize('check', [check_weight, check_positive])
@pytest.mark.parametrize('value', ['1', None, True, math.inf, -1])
def test_a_bad_number_is_called_by_its_name(check, value):
    with pytest.raises(ValueError, match='^alpha must be'):
        check('alpha', value)


def test_numbers_of_heads_that_fit_are_offered():
    with pytest.raises(ValueError, match=r'width 66, got 4; \[1, 2, 3, 6, 11, 22\] do'):
        check_heads(4, 66)  # 33 heads would be too many
