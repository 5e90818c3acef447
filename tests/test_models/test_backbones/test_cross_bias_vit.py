import pytest
import torch
import torch.nn.functional as F

from mmvitkd.models import CrossBiasViT
from mmvitkd.models.backbones.involution import Involution
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import vit


def made(**backbone) -> CrossBiasViT:
    """Of 32x32 images, on 4x4 patches."""
    torch.manual_seed(0)
    cfg = vit(layers=2, **{'stem_channels': 32, **backbone})['backbone']
    del cfg['type']
    model = CrossBiasViT(**cfg)
    model.init_weights()
    return model


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def embeddings(model: CrossBiasViT, x: torch.Tensor) -> list[torch.Tensor]:
    """What either stem makes of the patches, ``(B, N, C)``."""
    embed = model.patch_embed
    conv, _ = embed.conv_patches(embed.conv_stem(x))
    inv, _ = embed.inv_patches(embed.inv_stem(x))
    return [conv, inv]


def test_patches_are_the_sum_and_tokens_the_means_before_the_positions():
    model = made()
    model.eval()
    x = images(32, 32)
    conv, inv = embeddings(model, x)
    seen = []
    model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    outs = model(x)[-1]
    assert [tuple(out.shape) for out in outs] == [(2, 16)] * 3
    assert model.pos_embed.shape == (1, 16 + 3, 16)
    class_token = model.cls_token.expand(2, -1, -1)
    by_hand = [class_token, conv.mean(1)[:, None], inv.mean(1)[:, None], conv + inv]
    torch.testing.assert_close(seen[0], torch.cat(by_hand, 1) + model.pos_embed)


def test_a_token_reaches_its_own_stem_alone():
    model = made()
    for index, own in enumerate(('conv', 'inv')):
        model.zero_grad()
        tokens, _ = model.patch_embed(images(32, 32))
        tokens[:, index].square().sum().backward()
        for name, parameter in model.patch_embed.named_parameters():
            if name.startswith(own):
                assert parameter.grad.any(), name
            else:
                assert not parameter.grad.any(), name


def test_no_token_but_the_class_token_is_a_parameter():
    """They are functions of the image: of another one, they are others."""
    model = made()
    model.eval()
    assert model.cls_token.shape == (1, 1, 16)
    x = images(32, 32)
    (one, _), (other, _) = model.patch_embed(x), model.patch_embed(x.flip(0))
    assert not torch.allclose(one[:, :2], other[:, :2])
    assert torch.equal(one, other.flip(0))


def test_other_sizes_and_grids():
    model = made()
    model.eval()
    with record(model, [Tap('layers.0'), Tap('patch_embed')]) as seen:
        model(images(24, 41))
    assert seen[Tap('layers.0')].hw == (3, 6)
    for value, hw, *_ in seen.values():
        assert value.shape == (2, 18, 16)
        assert hw == (3, 6)


def test_size_is_the_papers():
    """Stem of 7x7 and two 3x3 convolutions at half the side; patches of 8x8 of it."""
    model = CrossBiasViT()
    embed = model.patch_embed
    assert embed.conv_stem(images(224, 224)).shape == (2, 64, 112, 112)
    assert embed.inv_stem(images(224, 224)).shape == (2, 64, 112, 112)
    assert embed.conv_patches.projection.weight.shape == (192, 64, 8, 8)
    assert model.pos_embed.shape == (1, 14 * 14 + 3, 192)


def test_stems_begin_as_released():
    """By the fan of the input: MMEngine's default would shrink the patches."""
    model = CrossBiasViT()
    model.init_weights()
    embed = model.patch_embed
    for layer in (embed.conv_patches.projection, embed.inv_stem[0]):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


def test_one_stem_alone_is_vkds_student():
    model = made(stems=('conv',))
    tokens, hw = model.patch_embed(images(32, 32))
    assert hw == (4, 4)
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(1))
    assert len(model(images(32, 32))[-1]) == 2
    assert not [name for name in model.state_dict() if 'inv' in name]
    with pytest.raises(ValueError, match=r"stems must be some of \['conv', 'inv'\]"):
        made(stems=('conv', 'conv'))


@pytest.mark.parametrize('wrong', [{'patch_size': 7}, {'stem_channels': 48}])
def test_stems_that_do_not_fit(wrong):
    with pytest.raises(ValueError, match='an even patch_size and a multiple of 32'):
        made(**wrong)


def test_involution_by_its_equation():
    """Every place by itself: its own kernels, one for each group of channels."""
    torch.manual_seed(0)
    layer = Involution(8, kernel_size=3, group_channels=4).eval()
    x = torch.randn(2, 8, 4, 5)
    kernels = layer.conv2(layer.conv1(x)).unflatten(
        1, (2, 3, 3)
    )  # (B, groups, 3, 3, H, W)
    padded = F.pad(x, (1, 1, 1, 1))
    expected = torch.zeros_like(x)
    for k in range(8):
        for i in range(4):
            for j in range(5):
                window = padded[:, k, i : i + 3, j : j + 3]
                kernel = kernels[:, k // 4, :, :, i, j]
                expected[:, k, i, j] = (kernel * window).sum((1, 2))
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [((24, 3, 16), 'no whole groups of 16'), ((16, 2, 16), 'kernel_size must be odd')],
)
def test_involution_refuses(sizes, message):
    with pytest.raises(ValueError, match=message):
        Involution(*sizes)
