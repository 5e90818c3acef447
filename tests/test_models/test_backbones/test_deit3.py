import pytest
import timm
import torch
from torch import Tensor, nn

from tests.helpers import build

TIMM_NAMES = (
    ('patch_embed.proj.', 'backbone.patch_embed.projection.'),
    ('blocks.', 'backbone.layers.'),
    ('.norm1.', '.ln1.'),
    ('.norm2.', '.ln2.'),
    ('.mlp.fc1.', '.ffn.layers.0.0.'),
    ('.mlp.fc2.', '.ffn.layers.1.'),
    ('.ls1.gamma', '.attn.gamma1.weight'),
    ('.ls2.gamma', '.ffn.gamma2.weight'),
)


def deit3_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename timm's DeiT III weights to MMPretrain's."""
    renamed = {}
    for name, value in weights.items():
        for old, new in TIMM_NAMES:
            name = name.replace(old, new)
        if name.startswith('norm.'):
            name = name.replace('norm.', 'backbone.ln1.')
        elif name.startswith('head.'):
            name = name.replace('head.', 'head.layers.head.')
        elif not name.startswith('backbone.'):
            name = f'backbone.{name}'
        renamed[name] = value
    return renamed


@pytest.fixture(scope='module')
def pair() -> tuple[nn.Module, nn.Module]:
    """timm's and our DeiT III-S with the same random, non-degenerate weights."""
    torch.manual_seed(0)
    reference = timm.create_model('deit3_small_patch16_224').eval()
    for name, parameter in reference.named_parameters():
        if name.endswith('gamma') or 'norm' in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            nn.init.normal_(parameter, std=0.05)
    ours = build(
        {
            'type': 'ImageClassifier',
            'backbone': {'type': 'DeiT3', 'arch': 's', 'img_size': 224},
            'head': {
                'type': 'VisionTransformerClsHead',
                'num_classes': 1000,
                'in_channels': 384,
            },
        }
    ).eval()
    weights = deit3_names(reference.state_dict())
    if 'backbone.layers.0.attn.gamma1.weight' not in ours.state_dict():
        for name in [
            n for n in weights if n.endswith(('gamma1.weight', 'gamma2.weight'))
        ]:
            weights[name.removesuffix('.weight')] = weights.pop(name)
    ours.load_state_dict(weights)
    return reference, ours


def test_logits_equal_timms(pair):
    reference, ours = pair
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected, logits = reference(images), ours(images)
    assert 0.1 < expected.std() < 10  # the weights say something
    assert (logits - expected).abs().max() < 1e-5


def test_second_norm_matters(pair):
    """Upstream never reads ln2; without it, this test would not notice a change."""
    _, ours = pair
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        before = ours(images)
        ours.backbone.layers[3].ln2.weight.mul_(2)
        after = ours(images)
        ours.backbone.layers[3].ln2.weight.div_(2)
    assert not torch.allclose(before, after, atol=1e-3)
