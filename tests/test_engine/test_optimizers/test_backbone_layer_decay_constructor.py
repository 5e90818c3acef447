import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmvitkd.models import SimpleFPN, ViTDet

ARCH = {
    'embed_dims': 16,
    'num_layers': 3,
    'num_heads': 2,
    'feedforward_channels': 32,
}
CFG = {
    'type': 'OptimWrapper',
    'optimizer': {'type': 'AdamW', 'lr': 1.0, 'weight_decay': 0.1},
    'constructor': 'mmvitkd.BackboneLayerDecayConstructor',
    'paramwise_cfg': {
        'layer_decay_rate': 0.5,
        'norm_decay_mult': 0.0,
        'bias_decay_mult': 0.0,
        'flat_decay_mult': 0.0,
        'custom_keys': {
            '.pos_embed': {'decay_mult': 0.0},
            '.rel_pos_': {'decay_mult': 0.0},
        },
    },
}


class Detector(nn.Module):
    """What the constructor needs to know of one."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ViTDet(
            ARCH, 64, patch_size=8, global_blocks=1, rel_pos=True, final_norm=True
        )
        self.neck = SimpleFPN(16, 8)
        self.backbone_head = nn.Linear(4, 4)


@pytest.fixture(scope='module', params=['mmengine', 'mmpretrain'])
def groups(request) -> dict[str, dict]:
    """Parameter groups by name, from more than one default scope."""
    with DefaultScope.overwrite_default_scope(request.param):
        wrapper = build_optim_wrapper(Detector(), CFG)
    return {group['param_name']: group for group in wrapper.optimizer.param_groups}


def test_rates_by_hand(groups):
    rates = {
        'backbone.pos_embed': 1 / 16,
        'backbone.patch_embed.projection.weight': 1 / 16,
        'backbone.patch_embed.projection.bias': 1 / 16,
        'backbone.layers.0.attn.qkv.weight': 1 / 8,
        'backbone.layers.0.attn.rel_pos_h': 1 / 8,
        'backbone.layers.1.ln2.bias': 1 / 4,
        'backbone.layers.2.ffn.layers.1.weight': 1 / 2,
        'backbone.ln1.weight': 1,
        'neck.levels.0.0.weight': 1,
        'backbone_head.weight': 1,
    }
    assert {name: groups[name]['lr'] for name in rates} == rates


def test_every_parameter_is_there_once(groups):
    assert list(groups) == [name for name, _ in Detector().named_parameters()]


def test_norms_biases_and_positions_do_not_decay(groups):
    decays = {name for name, group in groups.items() if group['weight_decay'] == 0.1}
    assert {g['weight_decay'] for g in groups.values()} == {0.0, 0.1}
    free = ('bias', 'pos_embed', 'rel_pos_h', 'rel_pos_w', 'ln1.weight', 'ln2.weight')
    # the norms of SimpleFPN
    norms = {f'neck.levels.{i}.{j}.weight' for i, j in [(0, 1), (0, 5), (0, 7)]}
    norms |= {f'neck.levels.{i}.{j}.weight' for i, j in [(1, 2), (1, 4), (2, 1)]}
    norms |= {f'neck.levels.{i}.{j}.weight' for i, j in [(2, 3), (3, 2), (3, 4)]}
    assert decays == {n for n in groups if not n.endswith(free)} - norms


def test_shared_parameters_are_there_once():
    """As in RTMDet's heads, whose levels share their convolutions."""
    detector = Detector()
    detector.other_head = detector.backbone_head
    detector.third_head = nn.Sequential(nn.Linear(4, 4))
    detector.third_head[0].weight = detector.backbone_head.weight
    wrapper = build_optim_wrapper(detector, CFG)
    names = [group['param_name'] for group in wrapper.optimizer.param_groups]
    assert names == [name for name, _ in detector.named_parameters()]


def test_frozen_parameters_are_left_out():
    detector = Detector()
    detector.backbone.patch_embed.requires_grad_(False)
    wrapper = build_optim_wrapper(detector, CFG)
    assert not [
        g for g in wrapper.optimizer.param_groups if 'patch_embed' in g['param_name']
    ]


def test_a_model_without_such_a_backbone_is_refused():
    with pytest.raises(ValueError, match="the Linear's is of NoneType"):
        build_optim_wrapper(nn.Linear(2, 2), CFG)
