"""Grids of real models, as their classes are: all but the widths and depths."""

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import transformers
from torch import nn

from mmvitkd.models.classifiers.grids import fitting_grid, has_channels_last
from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.models.classifiers.token_order import check_order, dotted_images
from tests.helpers import build

TINY = {
    'hidden_size': 16,
    'num_hidden_layers': 2,
    'num_attention_heads': 2,
    'intermediate_size': 32,
    'image_size': 32,
    'patch_size': 8,
}
SWIN = {'image_size': 64, 'patch_size': 4, 'embed_dim': 8, 'depths': [1, 2]}
SWIN |= {'num_heads': [2, 2], 'window_size': 4}


def hugging_face(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        config = getattr(transformers, f'{name}Config')(**settings)
        auto = transformers.AutoModelForImageClassification
        return auto.from_config(config)

    return make


def mmpretrain(**backbone: Any) -> Callable[[], nn.Module]:
    return lambda: build({'type': 'ImageClassifier', 'backbone': backbone})


def timm_model(name: str, **settings: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, **settings)


T2T = mmpretrain(
    type='T2T_ViT',
    img_size=64,
    embed_dims=16,
    t2t_cfg={'token_dims': 8},
    num_layers=2,
    layer_cfgs={'num_heads': 2, 'feedforward_channels': 32},
)
NAFLEX = timm_model(
    'naflexvit_base_patch16_gap', depth=2, embed_dim=16, num_heads=2, patch_size=8
)
CASES = [
    (hugging_face('CLIP', vision_config=TINY), 32,
     {'vision_model.encoder.layers.1': (4, 4), 'vision_model.pre_layrnorm': (4, 4)}),
    (hugging_face('Siglip', vision_config=TINY), 32,
     {'vision_model.encoder.layers.1': (4, 4), 'vision_model.post_layernorm': (4, 4)}),
    (hugging_face('Dinov2', **TINY), 32,
     {'dinov2.encoder.layer.1': (4, 4), 'dinov2.layernorm': (4, 4)}),
    (hugging_face('DeiT', **TINY, architectures=['DeiTForImageClassification']), 32,
     {'deit.encoder.layer.1': (4, 4)}),
    (hugging_face('Swin', **SWIN), 64,
     {'swin.encoder.layers.0.blocks.0': (16, 16), 'swin.layernorm': (8, 8)}),
    (hugging_face('Beit', **TINY), 32, {'beit.encoder.layer.1': (4, 4)}),
    (hugging_face('Data2VecVision', **TINY), 32,
     {'data2vec_vision.encoder.layer.1': (4, 4)}),
    (hugging_face('Swinv2', **SWIN), 64,
     {'swinv2.encoder.layers.0.blocks.0': (16, 16),
      'swinv2.encoder.layers.0.downsample': (8, 8),
      'swinv2.encoder.layers.1.blocks.1': (8, 8), 'swinv2.layernorm': (8, 8)}),
    (T2T, 64, {'backbone.tokens_to_token': (4, 4), 'backbone.encoder.1': (4, 4),
               'backbone.norm': (4, 4)}),
    (NAFLEX, 64, {'blocks.1': (8, 8), 'norm': (8, 8)}),
    (mmpretrain(type='LeViT', arch='128s'), 224,
     {'backbone.stages.0': (14, 14), 'backbone.stages.1.0': (7, 7),
      'backbone.stages.2.1': (4, 4)}),
    (timm_model('levit_128s'), 224,
     {'stages.0': (14, 14), 'stages.1': (7, 7), 'stages.2.blocks.0': (4, 4)}),
    (mmpretrain(type='TinyViT', arch='5m', img_size=(128, 128),
                window_size=[4, 4, 8, 4]), 128,
     {'backbone.patch_embed': (32, 32), 'backbone.stages.0': (16, 16),
      'backbone.stages.1': (8, 8), 'backbone.stages.3': (4, 4)}),
    (timm_model('tiny_vit_5m_224'), 224,
     {'stages.1': (28, 28), 'stages.1.blocks': (28, 28), 'stages.3.blocks': (7, 7)}),
    (mmpretrain(type='EfficientFormer', arch='l1'), 224,
     {'backbone.network.3.5': (7, 7), 'backbone.norm3': (7, 7)}),
    (timm_model('efficientformer_l1'), 224, {'stages.2': (14, 14), 'stages.3': (7, 7)}),
]  # fmt: skip


@pytest.mark.parametrize('make, size, grids', CASES)
def test_the_grid_of_every_kind_of_model(make, size, grids):
    torch.manual_seed(0)
    model = make().eval()
    taps = [Tap(path) for path in grids]
    with torch.no_grad(), record(model, taps) as seen:
        model(dotted_images(3, (size, size)))
    assert {tap.path: seen[tap].hw for tap in taps} == grids
    for tap in taps:
        rows, columns = seen[tap].hw
        assert seen[tap].value.shape[1] == rows * columns
        check_order(tap, seen[tap])


def test_channels_last_are_seen_in_the_middle_of_a_model():
    """timm's TinyViT has maps (B, C, H, W), and (B, H, W, C) between its blocks."""
    model = timm.create_model('tiny_vit_5m_224')
    taps = [Tap('stages.1.downsample'), Tap('stages.1.blocks')]
    shapes = [feature.value.shape for feature in features(model, 224, *taps)]
    assert shapes == [(2, 784, 128)] * 2


@pytest.mark.parametrize(
    'tokens, grids, image, found',
    [
        (197, [(14, 14)], (224, 224), (14, 14)),
        (49, [(14, 14)], (224, 224), (7, 7)),  # merged
        (50, [(14, 14)], (224, 224), (7, 7)),
        (4096, [(4, 4)], (256, 256), (64, 64)),
        (64, [(16, 16), (8, 8)], None, (8, 8)),  # before and after a merging
        (18, [], (24, 48), (3, 6)),
        (117, [], (200, 136), (13, 9)),  # rounded up, by strides of 2
        (448, [], (224, 224), None),  # channels
        (17, [], None, None),
    ],
)
def test_fitting_grid(tokens, grids, image, found):
    assert fitting_grid(tokens, grids, image) == found


@pytest.mark.parametrize(
    'shape, image, usual, last',
    [
        ((2, 7, 7, 64), (224, 224), False, True),
        ((2, 64, 7, 7), (224, 224), True, False),
        ((2, 7, 10, 64), (224, 320), False, True),
        ((2, 13, 9, 64), (200, 136), False, True),
        ((2, 7, 7, 7), (224, 224), True, True),  # nothing tells it
        ((2, 7, 7, 7), (224, 224), False, False),
        ((2, 7, 7, 64), None, False, False),
    ],
)
def test_channels_last(shape, image, usual, last):
    assert has_channels_last(shape, image, usual) is last


class Odd(nn.Module):
    """Tokens of 64x64 images on a grid that has not their proportions."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Unflatten(1, (3, -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        strips = x.unfold(2, 16, 16).unfold(3, 4, 4)  # (B, 3, 4, 16, 16, 4)
        x = strips.mean((-2, -1)).flatten(1)  # (B, 192)
        return self.tokens(x).transpose(1, 2)


def test_a_user_can_tell_the_grid():
    model = nn.Sequential(Odd())
    images = dotted_images(3, (64, 64))

    def tapped(**settings: Any) -> Any:
        tap = Tap.parse({'path': '0', **settings})
        with record(model, [tap]) as seen:
            model(images)
        return tap, seen[tap]

    tap, feature = tapped(grid=[4, 16])  # of a config in JSON
    assert feature.hw == tap.grid == (4, 16)
    check_order(tap, feature)
    guessed, wrong = tapped()
    assert wrong.hw == (8, 8)
    with pytest.raises(ValueError, match='not in the order'):  # seen by the dots
        check_order(guessed, wrong)
    with pytest.raises(ValueError, match=r'64 tokens, .*9x9 = 81 .*grid=\(rows'):
        tapped(grid=(9, 9))


@pytest.mark.parametrize('grid', [7, (7,), (7, 0), (7.0, 7), 'x'])
def test_a_grid_must_be_a_pair(grid):
    with pytest.raises(ValueError, match=r'grid must be \(rows, columns\)'):
        Tap('x', grid=grid)


def test_modules_that_yield_several_tensors():
    """TNT's layers hand pixels and patches on, Conformer's blocks a map and tokens."""
    tnt = {'type': 'TNT', 'img_size': 32, 'patch_size': 8}
    tnt['arch'] = {'embed_dims_outer': 16, 'embed_dims_inner': 4, 'num_layers': 1}
    tnt['arch'] |= {'num_heads_outer': 2, 'num_heads_inner': 2}
    model = mmpretrain(**tnt)()
    path = 'backbone.layers.0'
    with pytest.raises(ValueError, match=r'several .*\(2, 17, 16\): .*output=0'):
        features(model, 32, Tap(path))
    (patches,) = features(model, 32, Tap(path, output=1))
    assert patches.value.shape == (2, 16, 16)
    assert patches.hw == (4, 4)
    with pytest.raises(ValueError, match='no output 2: it yields'):
        features(model, 32, Tap(path, output=2))
    with pytest.raises(ValueError, match="not the tokens of whole.*tokens='all'"):
        features(model, 32, Tap(path, output=0))


def test_conformer():
    model = mmpretrain(type='Conformer', arch='tiny')()
    taps = [Tap('backbone.conv_trans_2', output=number) for number in (0, 1)]
    maps, tokens = features(model, 64, *taps)
    assert (maps.hw, tokens.hw) == ((16, 16), (4, 4))
    assert maps.value.shape == (2, 256, 64)
    assert tokens.value.shape == (2, 16, 384)


def features(model: nn.Module, size: int, *taps: Tap) -> list:
    with torch.no_grad(), record(model.eval(), taps) as seen:
        model(torch.randn(2, 3, size, size))
    return [seen[tap] for tap in taps]
