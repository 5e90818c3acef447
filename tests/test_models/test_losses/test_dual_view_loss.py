import pytest
import torch
from scipy.fft import dctn, idctn

from mmvitkd.models import DualViewLoss, NormalisedMSELoss


def tokens(seed: int) -> torch.Tensor:
    """Of a 3x4 grid, in double precision."""
    draw = torch.Generator().manual_seed(seed)
    return 1 + torch.randn(2, 12, 5, generator=draw, dtype=torch.float64)


def without_lowest_frequency(x: torch.Tensor) -> torch.Tensor:
    """As in the paper: to frequencies and back, the lowest of them set to zero."""
    spectrum = dctn(x.unflatten(1, (3, 4)).numpy(), axes=(1, 2))
    spectrum[:, 0, 0] = 0
    return torch.from_numpy(idctn(spectrum, axes=(1, 2))).flatten(1, 2)


def test_the_mean_over_the_grid_is_the_lowest_frequency():
    student, teacher = tokens(0), tokens(1)
    expected = DualViewLoss('spatial')(
        *map(without_lowest_frequency, (student, teacher))
    )
    ours = DualViewLoss('no-mean')(student, teacher)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    assert ours.item() != pytest.approx(DualViewLoss()(student, teacher).item())


def test_the_spatial_view_is_the_sum_over_places_of_normalised_distances():
    student, teacher = tokens(0), tokens(1)
    mean = NormalisedMSELoss()(student, teacher).item()
    loss = DualViewLoss(loss_weight=1.0)(student, teacher)
    assert loss.item() == pytest.approx(12 * mean)
    loss = DualViewLoss(loss_weight=1.0, reduction='mean')(student, teacher)
    assert loss.item() == pytest.approx(mean)


def test_without_the_mean_a_common_shift_does_not_matter():
    student, teacher = tokens(0), tokens(1)
    shifted = student + torch.tensor([3.0, 0, -1, 2, 0])
    loss = DualViewLoss('no-mean')
    torch.testing.assert_close(loss(shifted, teacher), loss(student, teacher))


def test_an_unknown_view_is_refused():
    with pytest.raises(ValueError, match="view must be one of .*got 'frequency'"):
        DualViewLoss('frequency')
