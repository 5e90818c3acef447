"""What each generative block computes, by hand."""

import math

import pytest
import torch
from torch import nn

from mmvitkd.models import (
    ConvGenerativeProjector,
    CrossAttentionGenerativeProjector,
    DenseGenerativeProjector,
    ResidualGenerativeProjector,
    SelfAttentionGenerativeProjector,
    TransformerGenerativeProjector,
    ViTKDGenLoss,
)
from mmvitkd.models.utils import sincos_positions
from tests.test_models.test_necks.projectors import (
    ATTENTION,
    HW,
    MASKINGS,
    TOKENS,
    neck_of,
    some_mask,
)


def test_names_in_a_checkpoint_of_the_conv_projector():
    assert list(ConvGenerativeProjector(4, 6).state_dict()) == [
        'mask_token',
        'align.fc.weight',
        'align.fc.bias',
        'generate.0.weight',
        'generate.0.bias',
        'generate.2.weight',
        'generate.2.bias',
    ]


def test_conv_projector_draws_what_it_always_drew():
    """Weights, then the mask, in the order of the first version."""
    torch.manual_seed(3)
    layers = [nn.Linear(4, 6), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 3)]
    mask = torch.rand(2, TOKENS).argsort(1).argsort(1) >= 7
    torch.manual_seed(3)
    neck = ConvGenerativeProjector(4, 6)
    assert torch.equal(neck(torch.zeros(2, TOKENS, 4), HW)[1], mask)
    mine = [neck.align.fc, neck.generate[0], neck.generate[2]]
    for one, other in zip(mine, layers, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)


def conv_pair(ratio=0.5, masking='exact', in_channels=4):
    """A conv projector in either formulation, the same weights, in float64."""
    pair = [
        neck_of(
            ConvGenerativeProjector, in_channels, mask_ratio=ratio, masking=masking,
            sparse=sparse,
        ).double()
        for sparse in (True, False)
    ]  # fmt: skip
    pair[1].load_state_dict(pair[0].state_dict())
    return pair


@pytest.mark.parametrize('in_channels', [4, 6])
@pytest.mark.parametrize('masking', MASKINGS)
@pytest.mark.parametrize('ratio', [0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize('hw', [(3, 5), (1, 7), (2, 2)])
def test_sparse_convolutions_give_the_plain_result_and_gradients(
    hw, ratio, masking, in_channels
):
    tokens, found = hw[0] * hw[1], []
    x = torch.randn(3, tokens, in_channels).double()
    target = torch.randn(3, tokens, 6).double()
    for neck in conv_pair(ratio, masking, in_channels):
        torch.manual_seed(1)  # of the mask
        leaf = x.clone().requires_grad_()
        out, mask = neck(leaf, hw)
        ViTKDGenLoss(1.0)(out, target, mask=mask).backward()
        gradients = {name: p.grad for name, p in neck.named_parameters()}
        found.append({**gradients, 'x': leaf.grad, 'out': out, 'mask': mask})
    # the loss computes in float32
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('given', ['all', 'none', 'one sample'])
def test_sparse_convolutions_of_a_mask_that_is_given(given):
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[{'all': slice(None), 'none': slice(0), 'one sample': slice(1)}[given]] = True
    x = torch.randn(2, TOKENS, 4).double()
    sparse, plain = (neck(x, HW, mask)[0] for neck in conv_pair())
    torch.testing.assert_close(sparse, plain)
    assert plain.any()


@pytest.mark.parametrize('sparse', [True, False, None])
def test_conv_projector_generates_masked_places_alone(sparse):
    """So that no loss depends on which formulation ran."""
    neck, mask = neck_of(ConvGenerativeProjector, sparse=sparse), some_mask()
    out = neck(torch.randn(2, TOKENS, 4), HW, mask)[0]
    assert torch.equal(out.any(-1), mask)


@pytest.mark.parametrize('sparse', [True, False])
def test_conv_projector_in_bfloat16(sparse):
    neck, mask = neck_of(ConvGenerativeProjector, sparse=sparse), some_mask()
    x = torch.randn(2, TOKENS, 4)
    with torch.autocast('cpu', torch.bfloat16):
        out = neck(x, HW, mask)[0]
        ViTKDGenLoss()(out, torch.randn(2, TOKENS, 6), mask=mask).backward()
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), neck(x, HW, mask)[0], rtol=0.1, atol=0.05)
    assert all(p.grad.any() for p in neck.parameters())


def test_dense_by_hand():
    """Only the centres: a = max(2 x, 0), b = max(x + 3 a, 0), x + 10 a + 100 b."""
    neck = DenseGenerativeProjector(1, 1)
    for p in neck.parameters():
        nn.init.zeros_(p)
    first, second = neck.generate.layers
    first.weight.data[0, :, 1, 1] = torch.tensor([2.0])
    second.weight.data[0, :, 1, 1] = torch.tensor([1.0, 3.0])
    neck.generate.fuse.weight.data[0, :, 0, 0] = torch.tensor([1.0, 10.0, 100.0])
    out = neck(torch.tensor([[[1.0], [-1.0]]]), (1, 2), torch.zeros(1, 2).bool())[0]
    assert out.flatten().tolist() == [1 + 20 + 700, -1]


def test_dense_grows_as_it_is_told():
    neck = DenseGenerativeProjector(2, 6, growth=5, num_layers=3)
    shapes = [layer.weight.shape[:2] for layer in neck.generate.layers]
    assert shapes == [(5, 6), (5, 11), (5, 16)]
    assert neck.generate.fuse.weight.shape[:2] == (6, 21)
    with pytest.raises(ValueError, match='growth must be above 0, got 0'):
        DenseGenerativeProjector(2, 6, growth=0)


def test_residual_by_hand():
    """Only the kernels' centres: x + max(2 x, 0) is 3 x or x, and that again."""
    neck = ResidualGenerativeProjector(1, 1)
    for p in neck.parameters():
        nn.init.zeros_(p)
    for block in neck.generate:
        block.convs[0].weight.data[..., 1, 1] = 2
        block.convs[2].weight.data[..., 1, 1] = 1
    nn.init.constant_(neck.mask_token, -5)
    x, mask = torch.tensor([[[2.0], [-3.0], [7.0]]]), torch.tensor([[0, 0, 1]]).bool()
    assert neck(x, (1, 3), mask)[0].flatten().tolist() == [18, -3, -5]


def zero_attention(neck):
    """Leave head(norm(x + positions)), the head the identity."""
    for name, p in neck.generate.named_parameters():
        if 'norm' not in name and 'ln' not in name:
            nn.init.zeros_(p)
    nn.init.eye_(neck.head[1].weight)
    nn.init.zeros_(neck.head[1].bias)


@pytest.mark.parametrize('cls', ATTENTION)
def test_attention_that_says_nothing_by_hand(cls):
    """The shortcut alone: the normalised token plus its place.

    Widths of 4 and one row: the place is (0, sin j, 1, cos j).
    """
    neck = neck_of(cls, 4, 4)
    zero_attention(neck)
    x, mask = torch.randn(1, 3, 4), torch.tensor([[0, 1, 0]]).bool()
    out = neck(x, (1, 3), mask)[0]
    for j in range(3):
        token = neck.mask_token[0, 0] if j == 1 else x[0, j]
        place = torch.tensor([0.0, math.sin(j), 1.0, math.cos(j)])
        y = token + place
        y = (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt()
        assert torch.allclose(out[0, j], y, atol=1e-5)


@pytest.mark.parametrize(
    ('cls', 'looked_at'),
    [
        (SelfAttentionGenerativeProjector, [0, 1, 2, 3]),
        (CrossAttentionGenerativeProjector, [0, 2]),
    ],
)
def test_even_attention_by_hand(cls, looked_at):
    """Queries of zero: the mean of the keys' values; cross: of the visible only."""
    neck = neck_of(cls, 4, 4, num_heads=2)
    zero_attention(neck)
    attn = neck.generate[0].attn
    nn.init.eye_(attn.in_proj_weight.data[8:])  # the values are the tokens
    nn.init.eye_(attn.out_proj.weight)
    x, mask = torch.randn(1, 4, 4), torch.tensor([[0, 1, 0, 1]]).bool()
    tokens = torch.where(mask[..., None], neck.mask_token, x)
    tokens = tokens + sincos_positions((2, 2), 4, x.device)
    values = nn.functional.layer_norm(tokens, (4,))
    expected = tokens + values[:, looked_at].mean(1)
    expected = nn.functional.layer_norm(expected, (4,))
    assert torch.allclose(neck(x, (2, 2), mask)[0], expected, atol=1e-5)


def test_cross_attention_keys_are_the_visible_tokens_only():
    """In every block: another mask token changes nothing at a visible place."""
    neck, mask = neck_of(CrossAttentionGenerativeProjector, num_layers=3), some_mask()
    x = torch.randn(2, TOKENS, 4)
    before = neck(x, HW, mask)[0]
    nn.init.normal_(neck.mask_token, std=10)
    change = (neck(x, HW, mask)[0] - before).abs().sum(-1)
    assert (change[~mask] == 0).all()
    assert (change[mask] > 1e-4).all()


def test_self_attention_sees_the_mask_tokens_too():
    neck, mask = neck_of(SelfAttentionGenerativeProjector), some_mask()
    x = torch.randn(2, TOKENS, 4)
    before = neck(x, HW, mask)[0]
    nn.init.normal_(neck.mask_token, std=10)
    assert ((neck(x, HW, mask)[0] - before)[~mask] != 0).any()


def test_transformer_has_the_mlp_that_self_attention_lacks():
    def size(cls):
        return sum(p.numel() for p in neck_of(cls).parameters())

    norm, mlp = 2 * 6, 2 * 6 * 24 + 24 + 6
    assert (
        size(TransformerGenerativeProjector)
        == size(SelfAttentionGenerativeProjector) + norm + mlp
    )


@pytest.mark.parametrize('cls', ATTENTION)
def test_layers_are_as_many_as_asked_for(cls):
    assert len(neck_of(cls).generate) == 1
    assert len(neck_of(cls, num_layers=3).generate) == 3


@pytest.mark.parametrize('cls', ATTENTION)
def test_places_tell_masked_tokens_apart(cls):
    """Mask tokens are equal and attention has no order: only places differ."""
    out = neck_of(cls)(torch.randn(1, TOKENS, 4), HW, some_mask(1))[0]
    masked = out[some_mask(1)]
    distance = torch.cdist(masked, masked) + torch.eye(len(masked))
    assert distance.min() > 1e-3


def test_positions_by_hand():
    """Width 8: frequencies 1 and 1/100 of rows and columns; token 4 is (1, 1)."""
    places = sincos_positions((2, 3), 8, torch.device('cpu'))
    sin, cos = [math.sin(1), math.sin(0.01)], [math.cos(1), math.cos(0.01)]
    assert places.shape == (6, 8)
    assert places[0].tolist() == [0] * 4 + [1] * 4
    assert places[1].tolist() == pytest.approx([0, 0, *sin, 1, 1, *cos])
    assert places[3].tolist() == pytest.approx([*sin, 0, 0, *cos, 1, 1])
    assert places[4].tolist() == pytest.approx([*sin, *sin, *cos, *cos])


@pytest.mark.parametrize('channels', [2, 6, 7])
def test_positions_of_a_width_that_4_does_not_divide_differ(channels):
    places = sincos_positions((3, 5), channels, torch.device('cpu'))
    assert places.shape == (15, channels)
    assert len(places.unique(dim=0)) == 15


@pytest.mark.parametrize('cls', ATTENTION)
@pytest.mark.parametrize('heads', [4, 0])
def test_heads_that_do_not_divide_the_width(cls, heads):
    with pytest.raises(ValueError, match=rf'width 6, got {heads}; \[1, 2, 3, 6\] do'):
        cls(4, 6, num_heads=heads)


@pytest.mark.parametrize('cls', ATTENTION)
def test_no_layers_at_all(cls):
    with pytest.raises(ValueError, match='num_layers must be above 0, got 0'):
        neck_of(cls, num_layers=0)
