import pytest
import torch
from torch import nn

from mmvitkd.models import ConvGenerativeProjector, LinearProjector, necks

ABSTRACT = 'GenerativeProjector'
WEIGHTLESS = 'GridPooler'
PLAIN = [name for name in necks.__all__ if name not in (ABSTRACT, WEIGHTLESS)]


@pytest.mark.parametrize('name', PLAIN)
def test_every_neck_may_be_initialised_otherwise(name):
    """By MMEngine's init_cfg, which a base class must get."""
    layers = ['Linear', 'Conv2d', 'ConvTranspose2d']
    init_cfg = {'type': 'Constant', 'layer': layers, 'val': 0.5, 'bias': 0.25}
    neck = getattr(necks, name)(4, 48, init_cfg=init_cfg)
    neck.init_weights()
    assert any(p.ndim > 1 and (p == 0.5).all() for p in neck.parameters())


def test_linear_projector_maps_every_token_by_itself():
    neck = LinearProjector(3, 5)
    x = torch.randn(2, 4, 3)
    y = neck(x, (2, 2))
    assert y.shape == (2, 4, 5)
    assert torch.allclose(y[1, 2], neck.fc.weight @ x[1, 2] + neck.fc.bias, atol=1e-6)
    assert neck(x[:, 0]).shape == (2, 5)


def test_linear_projector_of_equal_widths_is_the_identity():
    neck = LinearProjector(3, 3)
    x = torch.randn(2, 4, 3)
    assert neck(x, (2, 2)) is x
    assert not list(neck.parameters())


@pytest.mark.parametrize(
    ('ratio', 'masked'), [(0, 0), (0.3, 5), (0.5, 8), (0.7, 12), (0.9, 15)]
)
def test_same_number_of_masked_tokens_in_every_sample(ratio, masked):
    neck = ConvGenerativeProjector(3, 5, mask_ratio=ratio)
    out, mask = neck(torch.randn(6, 16, 3), (4, 4))
    assert out.shape == (6, 16, 5)
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [masked] * 6


def test_masks_differ_between_samples_and_calls():
    neck = ConvGenerativeProjector(3, 5)
    x = torch.randn(2, 64, 3)
    first, second = neck(x, (8, 8))[1], neck(x, (8, 8))[1]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


def test_exact_count_despite_rounding():
    """10 * (1 - 0.9) is 0.99...: one token stays all the same."""
    assert (
        ConvGenerativeProjector(1, 1, 0.9)(torch.ones(1, 10, 1), (2, 5))[1].sum() == 9
    )


def test_a_given_mask_is_used_as_it_is():
    neck = ConvGenerativeProjector(3, 5, mask_ratio=0.5)
    given = torch.rand(2, 16) < 0.2
    assert neck(torch.randn(2, 16, 3), (4, 4), given)[1] is given


@pytest.mark.parametrize('sparse', [True, False])
def test_output_by_hand(sparse):
    """Align, mask, conv, ReLU, conv on a grid that is not square, zeros elsewhere."""
    torch.manual_seed(0)
    neck = ConvGenerativeProjector(2, 3, sparse=sparse)
    nn.init.normal_(neck.mask_token)
    x, mask = torch.randn(1, 6, 2), torch.tensor([[1, 0, 0, 1, 0, 1]]).bool()
    tokens = x @ neck.align.fc.weight.T + neck.align.fc.bias
    tokens = torch.stack(
        [neck.mask_token[0, 0] if mask[0, i] else tokens[0, i] for i in range(6)]
    )
    grid = torch.empty(1, 3, 2, 3)
    for i in range(6):
        grid[0, :, i // 3, i % 3] = tokens[i]
    first, _, second = neck.generate
    out = nn.functional.conv2d(grid, first.weight, first.bias, padding=1).relu()
    out = nn.functional.conv2d(out, second.weight, second.bias, padding=1)
    expected = torch.stack([out[0, :, i // 3, i % 3] * mask[0, i] for i in range(6)])
    assert torch.allclose(neck(x, (2, 3), mask)[0][0], expected, atol=1e-6)


def test_masked_tokens_of_the_student_do_not_matter():
    neck = ConvGenerativeProjector(3, 5)
    x, mask = torch.randn(2, 16, 3), torch.rand(2, 16) < 0.5
    moved = x + mask[..., None] * 10
    assert torch.equal(neck(x, (4, 4), mask)[0], neck(moved, (4, 4), mask)[0])


@pytest.mark.parametrize('ratio', [0, 0.5])
def test_every_parameter_gets_a_gradient(ratio):
    """Also at ratio 0: data-parallel training refuses unused parameters."""
    neck = ConvGenerativeProjector(3, 5, mask_ratio=ratio)
    neck(torch.randn(2, 16, 3), (4, 4))[0].sum().backward()
    assert all(p.grad is not None for p in neck.parameters())


@pytest.mark.parametrize('ratio', [-0.1, 1, 1.5])
def test_mask_ratio_outside_its_range(ratio):
    with pytest.raises(ValueError, match=rf'\[0, 1\), got {ratio}'):
        ConvGenerativeProjector(3, 5, mask_ratio=ratio)


@pytest.mark.parametrize('hw', [(4, 5), None])
def test_grid_that_does_not_match(hw):
    with pytest.raises(ValueError, match='does not match 16 patch tokens'):
        ConvGenerativeProjector(3, 5)(torch.randn(2, 16, 3), hw)


def test_mask_that_does_not_match():
    with pytest.raises(ValueError, match=r'\(2, 16\), got \(2, 15\)'):
        mask = torch.zeros(2, 15, dtype=torch.bool)
        ConvGenerativeProjector(3, 5)(torch.randn(2, 16, 3), (4, 4), mask)
