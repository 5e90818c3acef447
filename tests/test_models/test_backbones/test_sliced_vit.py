import pytest
import torch
from mmpretrain.models import VisionTransformer

from mmvitkd.inspection.models import Model
from mmvitkd.models.backbones import SlicedViT
from tests.helpers import build

ARCH = {
    'embed_dims': 24,
    'num_layers': 2,
    'num_heads': 4,
    'feedforward_channels': 48,
}
SMALL = {'arch': ARCH, 'img_size': 32, 'patch_size': 8}


def test_nothing_sliced_is_a_vit():
    """The same weights under the same names, and the same outputs."""
    torch.manual_seed(0)
    whole = VisionTransformer(**SMALL)
    whole.init_weights()
    sliced = SlicedViT(**SMALL, value_dims=[[6] * 4] * 2)
    sliced.load_state_dict(whole.state_dict())
    whole.eval()
    sliced.eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(sliced(images)[0], whole(images)[0])


def test_matrices_are_as_small_as_the_heads():
    sliced = SlicedViT(**SMALL, value_dims=[[5], [6, 1, 3]], qkv_bias=False)
    first, second = (layer.attn for layer in sliced.layers)
    assert first.qkv.weight.shape == (6 + 6 + 5, 24)
    assert first.qkv.bias is None
    assert first.proj.weight.shape == (24, 5)
    assert second.qkv.weight.shape == (18 + 18 + 10, 24)
    assert second.proj.weight.shape == (24, 10)
    sliced.init_weights()
    sliced(torch.randn(2, 3, 40, 24))[0].sum().backward()
    assert all(p.grad is not None for p in sliced.layers.parameters())


def test_frozen_layers_are_frozen():
    sliced = SlicedViT(**SMALL, value_dims=[[5], [6]], frozen_stages=1)
    first, second = (layer.attn for layer in sliced.layers)
    assert not any(p.requires_grad for p in first.parameters())
    assert all(p.requires_grad for p in second.parameters())


@pytest.mark.parametrize(
    ('value_dims', 'has_maps'), [([[6, 6], [6]], True), ([[6], [5, 3]], False)]
)
def test_analysis_needs_values_as_wide_as_queries(value_dims, has_maps):
    """For attention maps; heads may be fewer. Features are there in any case."""
    head = {'type': 'mmpretrain.VisionTransformerClsHead', 'num_classes': 3}
    backbone = {'type': 'mmvitkd.SlicedViT', **SMALL, 'value_dims': value_dims}
    model = Model(
        'sliced',
        build(
            {
                'type': 'ImageClassifier',
                'backbone': backbone,
                'head': {**head, 'in_channels': 24},
                'data_preprocessor': {'mean': [0] * 3, 'std': [1] * 3},
            }
        ),
    )
    assert (model.no_maps is None) == has_maps
    assert (model.grid, model.width) == ((4, 4), 24)


@pytest.mark.parametrize(
    ('value_dims', 'message'),
    [
        ([[6]], 'value_dims has 1 layers, the arch 2'),
        ([[6], []], 'layer 1 must be 1 to 4 numbers from 1 to 6, got'),
        ([[6], [6] * 5], r'layer 1 must be 1 to 4 numbers'),
        ([[7], [6]], r'layer 0 must be 1 to 4 numbers from 1 to 6, got \[7\]'),
        ([[6], [0, 6]], r'layer 1 must be .* from 1 to 6, got \[0, 6\]'),
    ],
)
def test_wrong_widths(value_dims, message):
    with pytest.raises(ValueError, match=message):
        SlicedViT(**SMALL, value_dims=value_dims)
