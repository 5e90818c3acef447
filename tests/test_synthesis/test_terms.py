"""The terms of image synthesis, by hand."""

import math

import pytest
import torch
from torch import nn

from mmvitkd.synthesis.terms import (
    agreement,
    intra_divergence,
    mean_norm,
    statistics_distance,
    total_variation,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_total_variation_by_hand():
    """Rows differ by 3 and 1, columns by 0 and -2: sqrt(10) + sqrt(4)."""
    image = torch.tensor([[0.0, 0.0], [3.0, 1.0]])[None, None]
    expected = math.sqrt(9 + 1) + math.sqrt(0 + 4)
    assert total_variation(image).item() == pytest.approx(expected)
    # a flat image beside it halves the mean
    both = torch.cat([image, torch.ones_like(image)])
    assert total_variation(both).item() == pytest.approx(expected / 2)


def test_total_variation_of_flat_images_has_a_finite_gradient():
    x = torch.ones(2, 3, 4, 4, requires_grad=True)
    total_variation(x).backward()
    assert x.grad.eq(0).all()


def test_norm_by_hand():
    assert mean_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).item() == 3.0


def test_statistics_by_hand():
    """Means 2 and 0, variances 1 and 4; stored 2 + 3, 0 + 4 and 1, 4 - 2."""
    x = torch.tensor([[[1.0, 3.0], [-2.0, 2.0]]])  # (B, C, L)
    distance = statistics_distance(
        x, torch.tensor([5.0, 4.0]), torch.tensor([1.0, 2.0])
    )
    assert distance.item() == pytest.approx(5.0 + 2.0)


@pytest.mark.parametrize('shape', [(16, 3), (8, 3, 5, 4)])
def test_statistics_are_zero_on_the_batch_that_they_are_of(shape):
    """A BatchNorm that was shown one batch, at a momentum of 1."""
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    norm = kind(3, momentum=1.0)
    x = 2 * random(*shape).double() + 1
    norm.double()(x)
    number = x.numel() // 3
    biased = norm.running_var * (number - 1) / number  # it stores the unbiased one
    assert statistics_distance(x, norm.running_mean, biased).item() < 1e-12
    assert statistics_distance(x + 0.1, norm.running_mean, biased) > 0.1


def test_divergence_by_hand():
    """Of classes 0, 0, 0, 1, 1 the third is hard: one pair each, cosines 0.6 and 0."""
    features = torch.tensor([[1.0, 0], [3.0, 4.0], [1.0, 0], [0, 2.0], [5.0, 0]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    easy = torch.tensor([True, True, False, True, True])
    likeness = intra_divergence(features, labels, easy)
    assert likeness.item() == pytest.approx((0.6 + 0) / 2)


def test_divergence_moves_easy_images_alone():
    features = random(4, 3).requires_grad_()
    easy = torch.tensor([True, True, False, True])
    intra_divergence(features, torch.tensor([0, 0, 0, 1]), easy).backward()
    moved = features.grad.abs().sum(1) > 0
    assert moved.tolist() == [True, True, False, False]  # the last has no pair


def test_divergence_is_zero_without_pairs():
    features = random(3, 2).requires_grad_()
    value = intra_divergence(features, torch.arange(3), torch.ones(3, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert features.grad.eq(0).all()


def test_agreement_by_hand():
    """All mass on one class each: JS is ln 2 between two classes, 0 on the same."""
    one = torch.tensor([[300.0, 0.0], [300.0, 0.0]])
    other = torch.tensor([[0.0, 300.0], [300.0, 0.0]])
    assert agreement(one, one).item() == pytest.approx(1)
    assert agreement(one, other).item() == pytest.approx(1 - math.log(2) / 2)


def test_agreement_by_definition():
    """JS(p, q) = KL(p, m) / 2 + KL(q, m) / 2, at temperature 3."""
    a, b = random(5, 4).double(), random(5, 4, seed=1).double()
    p, q = (a / 3).softmax(1), (b / 3).softmax(1)
    m = (p + q) / 2
    js = ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)) / 2
    assert agreement(a, b).item() == pytest.approx(1 - js.mean().item())
    assert agreement(b, a).item() == pytest.approx(agreement(a, b).item())
