"""Who knows one library's paths is told another's."""

import pytest
from torch import nn

from mmvitkd.models.classifiers.module_hints import near_paths
from mmvitkd.models.classifiers.tap import find_module
from tests.helpers import build, vit
from tests.test_models.test_classifiers.test_grids import TINY, hugging_face
from tests.test_models.test_classifiers.test_layer_depth import RESNET, TIMM
from tests.test_models.test_classifiers.test_tap import SWIN

MODELS = {
    'timm': lambda: build(TIMM),
    'hf': lambda: nn.ModuleDict({'model': hugging_face('ViT', **TINY)()}),
    'swin': lambda: build(SWIN),
    'vit': lambda: build(vit()),
    'resnet': lambda: build(RESNET),
}


@pytest.mark.parametrize(
    'model, path, meant',
    [
        ('timm', 'backbone.layers.0', 'model.blocks.0'),
        ('timm', 'backbone.layers.11', 'model.blocks.2'),
        ('timm', 'backbone.layers.1.attn.qkv', 'model.blocks.1.attn.qkv'),
        ('timm', 'backbone.ln1', 'model.norm'),
        ('timm', 'head', 'model.head'),
        ('timm', 'model.blocks.12', 'model.blocks.2'),
        ('timm', 'model.nrom', 'model.norm'),
        ('hf', 'backbone.layers.0', 'model.vit.encoder.layer.0'),
        ('hf', 'backbone.layers.1.ffn', 'model.vit.encoder.layer.1'),
        ('hf', 'backbone.ln1', 'model.vit.layernorm'),
        ('hf', 'head', 'model.classifier'),
        ('swin', 'backbone.layers.0', 'backbone.stages.0.blocks.0'),
        ('swin', 'backbone.stages.7', 'backbone.stages.3'),
        ('swin', 'backbone.ln1', 'backbone.norm3'),
        ('vit', 'model.blocks.1', 'backbone.layers.1'),
        ('vit', 'backbone.layer.0', 'backbone.layers.0'),
        ('vit', 'model.norm', 'backbone.ln1'),
        ('vit', 'headd', 'head'),
        ('resnet', 'backbone.layer4.5', 'backbone.layer4.1'),
        ('resnet', 'backbone.layer9', 'backbone.layer4'),
    ],
)
def test_the_path_that_is_meant(model, path, meant):
    made = MODELS[model]()
    assert near_paths(made, path)[0] == meant
    assert find_module(made, meant) is made.get_submodule(meant)
    with pytest.raises(ValueError, match=f"no such module; did you mean '{meant}'"):
        find_module(made, path)


def test_a_model_of_one_module():
    assert near_paths(nn.Sequential(nn.Linear(1, 1)), 'backbone') == ['0']
