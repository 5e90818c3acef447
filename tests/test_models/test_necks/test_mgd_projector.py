import pytest
import torch
from torch import nn

from mmvitkd.models import MGDProjector, ViTKDMimicLoss
from tests.helpers import build, distiller, samples


def with_identity_blocks(channels, ratio):
    """A projector of equal widths whose convolutions hand positive maps through."""
    neck = MGDProjector(channels, channels, ratio)
    for conv in (neck.generate[0], neck.generate[2]):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
    return neck


def test_whole_channels_of_a_sample_are_masked():
    torch.manual_seed(0)
    out = with_identity_blocks(400, 0.15)(torch.ones(20, 6, 400), (2, 3))
    masked = out[:, 0] == 0  # (B, C)
    assert torch.equal(out == 0, masked[:, None].expand_as(out))
    assert (out[out != 0] == 1).all()  # what stays is not scaled
    assert masked.double().mean().item() == pytest.approx(0.15, abs=0.016)
    assert not torch.equal(masked[0], masked[1])


def test_whole_places_of_a_map_are_masked():
    """On the levels of a detector's pyramid."""
    torch.manual_seed(0)
    neck = MGDProjector(8, 8, 0.65, masked='places')
    neck.align = neck.generate = nn.Identity()
    out = neck(torch.ones(20, 400, 8), (20, 20))
    masked = out[..., 0] == 0  # (B, N)
    assert torch.equal(out == 0, masked[..., None].expand_as(out))
    assert masked.double().mean().item() == pytest.approx(0.65, abs=0.02)
    assert not torch.equal(masked[0], masked[1])


def test_output_by_hand_on_a_grid_that_is_not_square():
    """Align, then conv, ReLU, conv; no channel masked."""
    torch.manual_seed(0)
    neck = MGDProjector(2, 3, mask_ratio=0)
    x = torch.randn(1, 6, 2)
    tokens = x @ neck.align.fc.weight.T + neck.align.fc.bias
    grid = torch.empty(1, 3, 2, 3)
    for i in range(6):
        grid[0, :, i // 3, i % 3] = tokens[0, i]
    first, _, second = neck.generate
    out = nn.functional.conv2d(grid, first.weight, first.bias, padding=1).relu()
    out = nn.functional.conv2d(out, second.weight, second.bias, padding=1)
    expected = torch.stack([out[0, :, i // 3, i % 3] for i in range(6)])
    assert torch.allclose(neck(x, (2, 3))[0], expected, atol=1e-6)


def test_content_of_masked_channels_never_reaches_the_output():
    neck, x = MGDProjector(8, 8, 0.5), torch.randn(2, 6, 8)
    torch.manual_seed(1)
    masked = torch.rand(2, 1, 8) < 0.5
    torch.manual_seed(1)
    before = neck(x, (2, 3))
    torch.manual_seed(1)
    assert torch.equal(neck(x + 10 * masked, (2, 3)), before)


def test_gradient_reaches_every_parameter_and_the_student():
    neck = MGDProjector(3, 5)
    x = torch.randn(2, 6, 3, requires_grad=True)
    ViTKDMimicLoss(7e-5)(neck(x, (2, 3)), torch.randn(2, 6, 5)).backward()
    assert all(p.grad.any() for p in neck.parameters())
    assert x.grad.any(-1).all()


def test_a_term_of_the_distiller_with_the_mimicking_loss(tmp_path):
    term = {
        'student': 'backbone.ln1',
        'teacher': 'backbone.ln1',
        'neck': {'type': 'MGDProjector'},
        'loss': {'type': 'ViTKDMimicLoss', 'loss_weight': 7e-5},
    }
    model = build(distiller(tmp_path, terms={'mgd': term}))
    loss = model.loss(torch.randn(2, 3, 32, 32), samples([0, 1]))['loss_mgd']
    loss.backward()
    assert loss > 0
    teacher = model.teachers['teacher'].model
    assert all(p.grad is None for p in teacher.parameters())
    assert model.student.backbone.patch_embed.projection.weight.grad.any()


@pytest.mark.parametrize('ratio', [-0.1, 1])
def test_mask_ratio_outside_its_range(ratio):
    with pytest.raises(ValueError, match=rf'\[0, 1\), got {ratio}'):
        MGDProjector(3, 5, ratio)


def test_only_channels_or_places_are_masked():
    with pytest.raises(ValueError, match=r"\('channels', 'places'\), got 'tokens'"):
        MGDProjector(3, 5, masked='tokens')


def test_grid_that_does_not_match():
    with pytest.raises(ValueError, match='does not match 16 patch tokens'):
        MGDProjector(3, 5)(torch.randn(2, 16, 3), (4, 5))
