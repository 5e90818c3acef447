from typing import Any

import pytest
import torch
from mmpretrain.models import VisionTransformer
from mmpretrain.models.backbones import ViTSAM
from torch import Tensor, nn

from mmvitkd.models import ViTDet

ARCH = {
    'embed_dims': 16,
    'num_layers': 4,
    'num_heads': 2,
    'feedforward_channels': 32,
}
SMALL = {'arch': ARCH, 'img_size': 64, 'patch_size': 8}
AT_64 = {**SMALL, 'pretrain_img_size': 64}
LOADS = {**SMALL, 'pos_resize': 'load'}


def randomised(model: nn.Module) -> nn.Module:
    """Random, non-degenerate weights."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if 'ln' in name and name.endswith('weight'):
            nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            nn.init.normal_(parameter, std=0.3)
    model.eval()
    return model


def vitdet(weights: dict[str, Tensor] | None = None, **changes: Any) -> ViTDet:
    model = randomised(ViTDet(**{**AT_64, 'window_size': 3, **changes}))
    if weights is not None:
        model.load_state_dict(weights)
    return model


@pytest.fixture(scope='module')
def plain() -> VisionTransformer:
    """MMPretrain's ViT as a detector's backbone: all over the map, no class token."""
    model = VisionTransformer(
        **SMALL, with_cls_token=False, out_type='featmap', final_norm=True
    )
    return randomised(model)


@pytest.mark.parametrize('size', [(64, 64), (40, 72), (37, 61)])
def test_without_windows_it_is_mmpretrains_vit(plain, size):
    ours = vitdet(plain.state_dict(), global_blocks=4, final_norm=True)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        (expected,), (features,) = plain(images), ours(images)
    assert expected.std() > 0.1
    assert features.shape == (2, 16, -(-size[0] // 8), -(-size[1] // 8))
    assert (features - expected).abs().max() < 1e-5


def test_deit_small_without_windows_is_mmpretrains_to_1e_5():
    """The real width and depth, with the initialisation that training begins with."""
    torch.manual_seed(0)
    plain = VisionTransformer(
        'deit-small', 64, with_cls_token=False, out_type='featmap', final_norm=False
    )
    plain.init_weights()
    ours = ViTDet('deit-small', 64, global_blocks=12, pretrain_img_size=64)
    ours.load_state_dict(plain.state_dict())
    plain.eval()
    ours.eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        (expected,), (features,) = plain(images), ours(images)
    assert expected.std() > 0.1
    assert (features - expected).abs().max() < 1e-5


def test_windows_are_those_of_a_loop():
    """On a 5x8 map, whose last windows of 3x3 are filled up with zeros."""
    model = vitdet(global_blocks=())
    attention = model.layers[0].attn
    x = torch.randn(2, 5, 8, 16)
    full = torch.zeros(2, 6, 9, 16)
    full[:, :5, :8] = x
    expected = torch.zeros_like(full)
    with torch.no_grad():
        for top in (0, 3):
            for left in (0, 3, 6):
                window = full[:, top : top + 3, left : left + 3].reshape(2, 9, 16)
                q, k, v = attention.qkv(window).chunk(3, -1)
                outs = []
                for head in (slice(0, 8), slice(8, 16)):
                    logits = q[..., head] @ k[..., head].mT / 8**0.5
                    outs.append(logits.softmax(-1) @ v[..., head])
                out = attention.proj(torch.cat(outs, -1)).reshape(2, 3, 3, 16)
                expected[:, top : top + 3, left : left + 3] = out
        torch.testing.assert_close(
            attention(x), expected[:, :5, :8], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize('size', [(64, 64), (48, 72)])
def test_windows_and_relative_positions_are_mmpretrains_sams(size):
    """An implementation by others, with nonzero positions and filled-up windows."""
    ours = vitdet(rel_pos=True, global_blocks=(1, 3))
    sam = ViTSAM(
        {**ARCH, 'global_attn_indexes': (1, 3)}, img_size=64, patch_size=8,
        out_channels=0, use_rel_pos=True, window_size=3,
    )  # fmt: skip
    weights = ours.state_dict()
    weights['pos_embed'] = weights['pos_embed'].unflatten(1, (8, 8))
    sam.load_state_dict(weights)
    sam.eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        (features,), (expected,) = ours(images), sam(images)
        (without,) = vitdet(global_blocks=(1, 3))(images)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(features, without, atol=1e-2)


def test_relative_positions_begin_at_zero_and_change_nothing():
    torch.manual_seed(0)
    fresh = ViTDet(**SMALL, window_size=3, rel_pos=True, global_blocks=(3,))
    fresh.init_weights()
    own = {n for n in fresh.state_dict() if 'rel_pos' in n}
    assert own == {f'layers.{i}.attn.rel_pos_{d}' for i in range(4) for d in 'hw'}
    shapes = [
        tuple(fresh.state_dict()[f'layers.{i}.attn.rel_pos_h'].shape) for i in (0, 3)
    ]
    assert shapes == [(2 * 3 - 1, 8), (2 * 8 - 1, 8)]
    without = ViTDet(**SMALL, window_size=3, global_blocks=(3,))
    weights = {n: v for n, v in fresh.state_dict().items() if n not in own}
    without.load_state_dict(weights)
    fresh.eval()
    without.eval()
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(fresh(images), without(images))
    fresh(images)[0].square().sum().backward()
    assert all(fresh.get_parameter(name).grad.abs().sum() > 0 for name in own)


def test_four_global_blocks_are_spread_evenly():
    assert ViTDet('deit-tiny', 224).global_blocks == (2, 5, 8, 11)
    windows = [layer.attn.window_size for layer in ViTDet('deit-tiny', 224).layers]
    assert windows == [14, 14, 0] * 4
    assert vitdet(global_blocks=2).global_blocks == (1, 3)
    assert vitdet(global_blocks=(0, 3)).global_blocks == (0, 3)
    assert vitdet(global_blocks=0).global_blocks == ()


def test_checkpointing_changes_no_output_and_no_gradient():
    images = torch.randn(2, 3, 64, 64)
    results = []
    for with_cp in (False, True):
        model = vitdet(with_cp=with_cp, rel_pos=True, drop_path_rate=0.5)
        model.train()
        torch.manual_seed(1)  # of drop path
        (features,) = model(images)
        features.square().sum().backward()
        results.append((features, {n: p.grad for n, p in model.named_parameters()}))
    (features, gradients), (again, others) = results
    torch.testing.assert_close(features, again)
    for name, gradient in gradients.items():
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, others[name])


def test_drop_path_drops_whole_images():
    """Not windows of them."""
    model = vitdet(drop_path_rate=0.5, global_blocks=0)
    attention = model.layers[3].attn
    attention.train()
    torch.manual_seed(0)
    x = attention(torch.randn(16, 8, 8, 16))
    dropped = (x == 0).flatten(1)
    assert 0 < dropped.all(1).sum() < 16
    assert torch.equal(dropped.all(1), dropped.any(1))


@pytest.mark.parametrize('class_token', [True, False])
@pytest.mark.parametrize('img_size', [32, 64, 72])
def test_positions_are_resized_as_mmpretrain_resizes_them(class_token, img_size):
    """From 4x4 and 9x9 to 8x8 tokens, with a class token as well."""
    out_type = 'cls_token' if class_token else 'featmap'
    kept = {'with_cls_token': class_token, 'out_type': out_type}
    source = randomised(VisionTransformer(**{**SMALL, 'img_size': img_size}, **kept))
    weights = source.state_dict()
    reference = VisionTransformer(**SMALL, **kept)
    reference.load_state_dict(weights)
    ours = ViTDet(**LOADS, final_norm=True)
    result = ours.load_state_dict(weights, strict=False)
    assert result.missing_keys == []
    assert result.unexpected_keys == (['cls_token'] if class_token else [])
    assert torch.equal(ours.pos_embed, reference.pos_embed[:, int(class_token) :])


def test_positions_of_images_that_are_not_square():
    source = VisionTransformer(**{**SMALL, 'img_size': (32, 48)})
    weights = randomised(source).state_dict()
    ours = ViTDet(**LOADS, pretrain_img_size=(32, 48))
    ours.load_state_dict(weights, strict=False)
    grid = weights['pos_embed'][:, 1:].unflatten(1, (4, 6)).permute(0, 3, 1, 2)
    resized = nn.functional.interpolate(grid, (8, 8), mode='bicubic')
    torch.testing.assert_close(
        ours.pos_embed.mT.unflatten(2, (8, 8)), resized, rtol=1e-6, atol=1e-6
    )
    with pytest.raises(ValueError, match='24 tokens, but it is not square'):
        weights['pos_embed'] = weights['pos_embed'][:, [0] * 24]
        ViTDet(**LOADS).load_state_dict(weights, strict=False)
    with pytest.raises(ValueError, match=r'gives a grid of \(4, 6\)'):
        weights['pos_embed'] = weights['pos_embed'][:, :20]
        ours.load_state_dict(weights, strict=False)


@pytest.mark.parametrize('size', [(1024, 1024), (800, 1216), (224, 224)])
def test_positions_are_resized_as_detectron2_resizes_them(size):
    """In every forward, by bicubic interpolation from the grid of 224-pixel images."""
    source = VisionTransformer(ARCH, 224, patch_size=16)
    weights = randomised(source).state_dict()
    ours = ViTDet(ARCH, 1024, global_blocks=0, window_size=14)
    ours.load_state_dict(weights, strict=False)
    assert torch.equal(ours.pos_embed, weights['pos_embed'][:, 1:])
    seen = []
    ours.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    ours.eval()
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        ours(images)
        patches = source.patch_embed.projection(images)
    grid = weights['pos_embed'][:, 1:].mT.unflatten(2, (14, 14))
    positions = nn.functional.interpolate(
        grid, (size[0] // 16, size[1] // 16), mode='bicubic', align_corners=False
    )
    expected = (patches + positions).permute(0, 2, 3, 1)
    torch.testing.assert_close(seen[0], expected, rtol=1e-5, atol=1e-5)


def test_gradient_reaches_the_positions_of_the_pretraining():
    model = ViTDet(**SMALL, window_size=3, pretrain_img_size=32)
    model.init_weights()
    (features,) = model(torch.randn(1, 3, 64, 64))
    features.square().sum().backward()
    assert model.pos_embed.grad.shape == (1, 16, 16)
    assert model.pos_embed.grad.abs().min() > 0


def test_positions_of_another_pretraining_are_refused():
    """With the size that is right, be the checkpoint a classifier's or a detector's."""
    for size in (32, 64):
        weights = VisionTransformer(**{**SMALL, 'img_size': size}).state_dict()
        with pytest.raises(ValueError, match=rf'\(28, 28\).* images, {size} if they'):
            ViTDet(**SMALL).load_state_dict(weights, strict=False)
    weights = ViTDet(**LOADS).state_dict()
    with pytest.raises(ValueError, match='images, 64 if they are square'):
        ViTDet(**SMALL).load_state_dict(weights)
    ViTDet(**AT_64).load_state_dict(weights)


def test_own_weights_load_strictly():
    model = vitdet(rel_pos=True)
    vitdet(model.state_dict(), rel_pos=True)


def test_frozen_are_the_layers_that_mmpretrain_freezes():
    ours, reference = (
        cls(**SMALL, frozen_stages=2, **more)
        for cls, more in (
            (ViTDet, {'drop_path_rate': 0.5, 'final_norm': True}),
            (VisionTransformer, {'with_cls_token': False, 'out_type': 'featmap'}),
        )
    )
    frozen = {n for n, p in ours.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, p in reference.named_parameters() if not p.requires_grad}
    assert {'pos_embed', 'layers.1.attn.qkv.weight'} <= frozen
    assert ours.train() is ours
    assert [layer.training for layer in ours.layers] == [False, False, True, True]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'global_blocks': 5}, 'from 0 to the 4 blocks, got 5'),
        ({'global_blocks': (1, 4)}, r'\[4\] are not among the blocks 0 to 3'),
        ({'window_size': 0}, 'window_size must be at least 1, got 0'),
        ({'pos_resize': 'once'}, "must be 'forward' or 'load', got 'once'"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ViTDet(**{**SMALL, **changes})


def test_image_smaller_than_a_window_is_refused():
    model = vitdet(window_size=4, global_blocks=1)
    model(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match='24x64 give a map of 3x8 .* to 32 at least'):
        model(torch.zeros(1, 3, 24, 64))
    vitdet(window_size=4, global_blocks=4)(torch.zeros(1, 3, 24, 64))  # no windows
