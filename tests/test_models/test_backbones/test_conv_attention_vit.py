import pytest
import torch
import torch.nn.functional as F

from mmvitkd.models.backbones.conv_attention import ConvAttention, nearest_offsets
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import build, vit


def made(**backbone):
    """Of 32x32 images, on 4x4 patches."""
    torch.manual_seed(0)
    ours = {'type': 'ConvAttentionViT', 'conv_layers': 2}
    cfg = vit(**(backbone if 'type' in backbone else {**ours, **backbone}))
    model = build(cfg['backbone'])
    model.init_weights()
    model.eval()  # returns None
    return model


def attention(heads: int = 9, width: int = 4, drop: float = 0.0) -> ConvAttention:
    layer = build(
        {
            'type': 'ConvAttentionViT',
            'arch': {
                'embed_dims': heads * width,
                'num_layers': 1,
                'num_heads': heads,
                'feedforward_channels': 8,
            },
            'conv_layers': 1,
            'position_drop': drop,
        }
    ).layers[0]
    return layer.attn.eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def test_nine_focused_heads_are_a_3x3_convolution():
    """Its support, and its values wherever the neighbours are on the grid."""
    torch.manual_seed(0)
    layer = attention(heads=9, width=4)
    with torch.no_grad():
        layer.gate.fill_(50)  # of which the sigmoid is 1
        layer.focus.fill_(100)
    x = torch.randn(2, 2 + 5 * 6, 36)
    value = layer.qkv.weight[72:].unflatten(0, (9, 4))  # (heads, 4, C)
    out = layer.proj.weight.unflatten(1, (9, 4))  # (C, heads, 4)
    kernel = torch.zeros(36, 36, 3, 3)
    for head, (y, z) in enumerate(layer.centre.int().tolist()):
        kernel[:, :, 1 + y, 1 + z] = out[:, head] @ value[head]
    bias = layer.proj(layer.qkv.bias[72:])
    maps = x[:, 2:].transpose(1, 2).unflatten(2, (5, 6))
    expected = F.conv2d(maps, kernel, bias)  # without the border
    got = layer(x, (5, 6))[:, 2:].transpose(1, 2).unflatten(2, (5, 6))
    torch.testing.assert_close(got[:, :, 1:-1, 1:-1], expected, rtol=1e-4, atol=1e-5)


def test_support_of_the_heads_is_the_neighbourhood():
    layer = attention()
    with torch.no_grad():
        layer.focus.fill_(100)
    seen = layer.places((3, 3))[:, 4]  # from the centre, (heads, 9)
    torch.testing.assert_close(seen.sum(0), torch.ones(9))  # each by one head
    torch.testing.assert_close(seen.amax(1), torch.ones(9))


def test_places_by_hand():
    layer = attention(heads=2)
    with torch.no_grad():
        layer.centre[:] = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
        layer.focus[:] = torch.tensor([0.0, 2.0])
    even, right = layer.places((1, 3))
    torch.testing.assert_close(even, torch.full((3, 3), 1 / 3))
    # from the first of three: offsets 0, 1, 2 lie 1, 0, 1 from the centre
    logits = torch.tensor([-2.0, 0.0, -2.0])
    torch.testing.assert_close(right[0], logits.softmax(0))


def test_nearest_offsets():
    nine = nearest_offsets(9)
    assert nine[0].tolist() == [0, 0]
    assert {tuple(o) for o in nine.tolist()} == {
        (y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)
    }
    # both sides, not one alone
    assert nearest_offsets(3)[1:].sum(0).tolist() == [0, 0]


def test_closed_gates_leave_a_vit_with_a_distillation_token():
    ours, plain = made(), made(type='ExtraTokenViT', extra_tokens=1)
    weights = {
        name: value
        for name, value in ours.state_dict().items()
        if name.rpartition('.')[2] not in ('gate', 'focus', 'centre')
    }
    plain.load_state_dict(weights, strict=True)
    x = images(32, 32)
    begun = ours(x)[-1]
    with torch.no_grad():
        for layer in ours.layers[:2]:
            layer.attn.gate.fill_(-200)  # of which the sigmoid is 0
    for size in ((32, 32), (16, 40)):
        pairs = zip(ours(images(*size))[-1], plain(images(*size))[-1], strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one, other)
    assert not torch.allclose(begun[0], ours(x)[-1][0])


@pytest.mark.parametrize('changes', [{'pre_norm': True}, {'out_indices': [0, 2]}])
def test_no_such_layer_is_a_vit_with_a_distillation_token(changes):
    ours = made(conv_layers=0, **changes)
    plain = made(type='ExtraTokenViT', extra_tokens=1, **changes)
    plain.load_state_dict(ours.state_dict(), strict=True)
    outs = zip(ours(images(32, 32)), plain(images(32, 32)), strict=True)
    for one, other in outs:
        torch.testing.assert_close(one, other)


def test_gates_begin_local():
    attn = made().layers[0].attn
    share = attn.gate.sigmoid()
    assert ((share > 0.5) & (share < 1)).all()


def test_leading_tokens_attend_by_content_alone():
    """Nothing by place goes to them or comes from them."""
    layer = attention(heads=2)
    with torch.no_grad():
        layer.gate.fill_(50)
    x = torch.randn(2, 2 + 6, 8)
    changed = x.clone()
    changed[:, :2] += 1
    one, other = layer(x, (2, 3)), layer(changed, (2, 3))
    torch.testing.assert_close(one[:, 2:], other[:, 2:])
    assert not torch.allclose(one[:, :2], other[:, :2])


def test_every_parameter_of_the_attention_learns():
    model = made()
    model.train()
    sum(token.square().sum() for token in model(images(32, 32))[-1]).backward()
    for layer in model.layers[:2]:
        for name in ('gate', 'focus', 'centre'):
            assert getattr(layer.attn, name).grad.any(), name


def test_dropout_by_place_is_for_training():
    layer = attention(heads=2, drop=0.5)
    rows = layer.places((4, 4)).sum(-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    torch.manual_seed(0)
    dropped = layer.train().places((4, 4))
    assert 0.3 < (dropped == 0).float().mean() < 0.7


def test_grid_reaches_the_taps():
    model = made()
    taps = [Tap('layers.0'), Tap('layers.2')]
    with record(model, taps) as seen:
        model(images(24, 40))
    assert [seen[tap].hw for tap in taps] == [(3, 5)] * 2
    assert all(seen[tap].value.shape == (2, 15, 16) for tap in taps)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'conv_layers': 4}, 'from 0 to the 3 layers, got 4'),
        ({'position_drop': 1.0}, r'in \[0, 1\), got 1.0'),
    ],
)
def test_values_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        made(**wrong)
