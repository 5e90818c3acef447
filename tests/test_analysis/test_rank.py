import math

import pytest
import torch

from mmvitkd.analysis.rank import (
    Covariance,
    dimensions_for,
    effective_rank,
    image_dimensions,
    principal_variances,
    variance_within,
)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def variances(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_principal_variances_by_hand():
    """Around the mean (1, 2): +-3 along the diagonal, +-1 across it, each in two of
    four tokens."""
    along, across = torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])
    x = torch.stack([3 * along, -3 * along, across, -across]) / math.sqrt(2)
    x = (x + torch.tensor([1.0, 2.0])).view(2, 2, 2)  # two images of two tokens
    assert principal_variances(x).tolist() == pytest.approx([9 / 2, 1 / 2])


def test_moments_are_those_around_zero():
    """The variances of the test above, and the mean of length 5."""
    along, across = torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])
    x = torch.stack([3 * along, -3 * along, across, -across]) / math.sqrt(2)
    x = x + 5 * along / math.sqrt(2)
    covariance = Covariance()
    for batch in x.split(2):
        covariance.update(batch)
    moments = covariance.principal_moments().tolist()
    assert moments == pytest.approx([9 / 2 + 25, 1 / 2])
    assert sum(moments) == pytest.approx(float(x.square().sum(1).mean()))


def test_dimensions_of_every_image_by_itself():
    """One image of a single direction, one of two of equal energy."""
    x = torch.zeros(2, 3, 4)
    x[0, :, 1] = 2
    x[1, 0, 0] = x[1, 1, 3] = 1
    assert image_dimensions(x, 0.95).tolist() == [1, 2]
    assert image_dimensions(x, 0.5).tolist() == [1, 1]


def test_principal_variances_ignore_shift_and_rotation():
    x = tokens(4, 9, 6) * torch.arange(1, 7)
    before = principal_variances(x)
    turned = x @ torch.linalg.qr(tokens(6, 6))[0] + 100
    assert torch.allclose(principal_variances(turned), before, rtol=1e-4)
    assert torch.allclose(principal_variances(2 * x), 4 * before)
    assert (before.diff() <= 0).all()


def test_a_large_mean_costs_no_precision():
    """Residual streams have channels of several hundreds."""
    x = tokens(4, 9, 6).double()
    far = principal_variances(x + 1e5)
    assert torch.allclose(far, principal_variances(x), rtol=1e-6)


def test_batches_have_the_covariance_of_the_whole():
    x = tokens(6, 9, 5) * torch.arange(1, 6) + 1000 * tokens(5)
    covariance = Covariance()
    for batch in x.split([1, 2, 3]):
        covariance.update(batch)
    assert covariance.count == 54
    found = covariance.principal_variances()
    assert torch.allclose(found, principal_variances(x), rtol=1e-6)
    with pytest.raises(ValueError, match='no features'):
        Covariance().principal_variances()


def test_effective_rank_by_hand():
    """Singular values 2, 1, 1: p = 1/2, 1/4, 1/4, so 1.5 bits, 2 ** 1.5."""
    assert effective_rank(variances(4, 1, 1)) == pytest.approx(2**1.5)


@pytest.mark.parametrize(
    ('values', 'rank'), [((1, 1, 1, 1), 4), ((7, 0, 0), 1), ((0, 0), 0)]
)
def test_effective_rank_at_its_ends(values, rank):
    assert effective_rank(variances(*values)) == pytest.approx(rank)


def test_effective_rank_ignores_scale_and_is_at_most_the_rank():
    low = tokens(50, 3) @ tokens(3, 8)  # rank 3 in 8 channels
    rank = effective_rank(principal_variances(low))
    assert 1 < rank < 3
    assert effective_rank(principal_variances(10 * low)) == pytest.approx(rank)


def test_dimensions_for_a_share():
    spread = variances(6, 3, 1)
    assert [dimensions_for(spread, s) for s in (0, 0.6, 0.61, 0.9, 0.99, 1)] == [
        0, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    assert dimensions_for(variances(0, 0), 0.9) == 0
    # ten equal tenths do not sum up to one exactly
    assert dimensions_for(variances(*[0.1] * 10), 0.7) == 7
    with pytest.raises(ValueError, match=r'share must be in \[0, 1\], got 90'):
        dimensions_for(spread, 90)


def test_variance_within_a_width():
    spread = variances(6, 3, 1)
    assert [variance_within(spread, w) for w in (1, 2, 3, 9)] == [0.6, 0.9, 1, 1]
    assert variance_within(variances(0, 0), 1) == 1
    with pytest.raises(ValueError, match='width must be above 0, got 0'):
        variance_within(spread, 0)


def test_no_linear_layer_from_a_narrower_student_does_better():
    """Eckart and Young: the best student of that width is the principal axes; the
    least squares of any other one leave more."""
    teacher = tokens(200, 8) * torch.arange(1, 9)
    total = principal_variances(teacher).sum()
    within = variance_within(principal_variances(teacher), 3)
    centred = (teacher - teacher.mean(0)).double()
    axes = torch.linalg.svd(centred, full_matrices=False).Vh[:3]

    def held(student: torch.Tensor) -> float:
        fitted = student @ torch.linalg.lstsq(student, centred).solution
        error = (centred - fitted).square().sum() / len(centred)
        return float(1 - error / total)

    assert held(centred @ axes.T) == pytest.approx(within)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        some = torch.randn(8, 3, generator=generator, dtype=torch.float64)
        assert held(centred @ some) < within
