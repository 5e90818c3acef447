import pytest
import torch

from mmvitkd.models import CIFARResNet


@pytest.mark.parametrize(
    ('depth', 'millions'), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_as_many_parameters_as_published(depth, millions):
    """Table 6 of the paper, with the classifier of ten classes."""
    count = sum(p.numel() for p in CIFARResNet(depth).parameters()) + 65 * 10
    assert count / 1e6 == pytest.approx(millions, abs=0.035)


def test_three_stages_of_halved_maps():
    model = CIFARResNet(20, out_indices=(0, 1, 2))
    maps = model(torch.randn(1, 3, 32, 32))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (16, 32, 32),
        (32, 16, 16),
        (64, 8, 8),
    ]
    (last,) = CIFARResNet(20)(torch.randn(1, 3, 32, 32))
    assert last.shape == maps[2].shape
