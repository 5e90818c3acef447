import pytest
import torch
from mmengine.config import ConfigDict

from mmvitkd.engine.gated_blocks import count_block_flops
from mmvitkd.engine.pruned_blocks import count_width_flops, prune, require_prunable
from mmvitkd.utils.costs import count_flops, count_parameters
from mmvitkd.utils.pruned_widths import Widths, make_narrower, slice_blocks
from mmvitkd.utils.skipped_blocks import make_shallower, without_skipped
from tests.helpers import build

PATH = 'backbone.layers'
VIT = {
    'type': 'mmpretrain.VisionTransformer',
    'arch': {
        'embed_dims': 24,
        'num_layers': 3,
        'num_heads': 4,
        'feedforward_channels': 40,
    },
    'img_size': 32,
    'patch_size': 8,
}
HEAD = {'type': 'mmpretrain.VisionTransformerClsHead', 'num_classes': 5}
POOLED = {'with_cls_token': False, 'out_type': 'avg_featmap'}
SETTINGS = {'lr': 1.0, 'price_lr': 1.0, 'heads': True, 'dims': True, 'units': True}


def student(**changes):
    """A classifier of which no weight is zero."""
    torch.manual_seed(0)
    cfg = {'type': 'ImageClassifier', 'backbone': {**VIT, **changes}}
    cfg['head'] = {**HEAD, 'in_channels': 24}
    if 'out_type' in changes:
        cfg['head'] = {**cfg['head'], 'type': 'mmpretrain.LinearClsHead'}
    model = build(cfg)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return ConfigDict(cfg), model.eval()


def shares(model, path=PATH, size=(32, 32)):
    costs = count_block_flops(model, path, size)
    return torch.tensor(count_width_flops(model, path, size)) / sum(costs)


def narrow(model, settings=SETTINGS, path=PATH, size=(32, 32)):
    """Prune a random number of everything, otherwise in every block."""
    widths = prune(model, path, shares(model, path, size), **settings)
    random = torch.Generator().manual_seed(1)
    removed = torch.rand(widths.removed.shape, generator=random) * (widths.most + 1)
    with torch.no_grad():
        widths.removed.copy_(removed.minimum(widths.most))
    widths.lr = 0.0
    widths.step(0.0, torch.zeros_like(widths.removed))
    return widths


def sliced(cfg, model, widths, kept):
    """What the export makes of it."""
    left = Widths(widths.kept_dims, widths.kept_units).of(kept)
    weights = slice_blocks(without_skipped(model.state_dict(), PATH, kept), PATH, left)
    make_shallower(cfg, PATH, kept)
    make_narrower(cfg, PATH, left)
    plain = build(cfg).eval()
    plain.load_state_dict(weights)
    return plain


@pytest.mark.parametrize('kept', [[0, 1, 2], [1], [0, 2]])
@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'img_size': (16, 40)},
        POOLED,
        {'qkv_bias': False, 'layer_scale_init_value': 0.5},
        {'drop_path_rate': 0.2, 'drop_rate': 0.1, 'layer_cfgs': {'num_fcs': 2}},
    ],
    ids=['cls', 'oblong', 'pooled', 'no_bias', 'drop'],
)
def test_sliced_student_is_the_masked_one(changes, kept):
    """Its outputs and its multiply-adds, with blocks skipped and without."""
    cfg, model = student(**changes)
    size = model.backbone.img_size
    whole, costs = count_flops(model, size), count_block_flops(model, PATH, size)
    widths = narrow(model, size=size)
    assert not widths.kept_dims.any(2).all()
    for number in {0, 1, 2} - set(kept):
        model.backbone.layers[number] = torch.nn.Identity()
    images = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(2))
    masked = model(images)
    plain = sliced(cfg, model, widths, kept)
    torch.testing.assert_close(plain(images), masked, rtol=1e-5, atol=1e-5)
    share = costs[0] / whole + float(widths.block_shares()[kept].detach().sum())
    assert share * whole == pytest.approx(count_flops(plain, size), rel=1e-6)
    assert count_parameters(plain) < count_parameters(model)
    assert cfg.backbone.type == 'mmvitkd.SlicedViT'


def test_masks_hide_in_evaluation_alone():
    _, model = student()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    before = model(images)
    narrow(model)
    assert not torch.allclose(model(images), before)
    model.train()
    torch.testing.assert_close(model(images), before)


def test_units_alone_stay_upstreams_own():
    cfg, model = student(
        layer_cfgs=[{'qkv_bias': bias} for bias in (True, False, True)]
    )
    widths = narrow(model, {**SETTINGS, 'heads': False, 'dims': False})
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    plain = sliced(cfg, model, widths, [0, 1, 2])
    torch.testing.assert_close(plain(images), model(images), rtol=1e-5, atol=1e-5)
    assert type(plain.backbone).__module__.startswith('mmpretrain.')
    assert [bool(c.qkv_bias) for c in cfg.backbone.layer_cfgs] == [True, False, True]
    hidden = [layer.ffn.feedforward_channels for layer in plain.backbone.layers]
    assert hidden == widths.kept_units.sum(1).tolist()
    assert len(set(hidden)) == 3


def test_units_of_a_t2t_vit():
    path = 'backbone.encoder'
    cfg = {
        'type': 'ImageClassifier',
        'backbone': {
            'type': 'mmpretrain.T2T_ViT',
            'img_size': 32,
            'embed_dims': 24,
            'num_layers': 2,
            't2t_cfg': {'token_dims': 4},
            'layer_cfgs': {'num_heads': 2, 'feedforward_channels': 40},
        },
        'head': {**HEAD, 'in_channels': 24},
    }
    model = build(cfg).eval()
    settings = {**SETTINGS, 'heads': False, 'dims': False}
    require_prunable(model, path, attention=False)
    whole, outside = (
        count_flops(model, (32, 32)),
        count_block_flops(model, path, (32, 32))[0],
    )
    widths = narrow(model, settings, path)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    cfg, left = ConfigDict(cfg), Widths(widths.kept_dims, widths.kept_units)
    make_narrower(cfg, path, left)
    plain = build(cfg).eval()
    plain.load_state_dict(slice_blocks(model.state_dict(), path, left))
    torch.testing.assert_close(plain(images), model(images), rtol=1e-5, atol=1e-5)
    share = outside / whole + float(widths.block_shares().detach().sum())
    assert share * whole == pytest.approx(count_flops(plain, (32, 32)), rel=1e-6)
    with pytest.raises(ValueError, match='alone, not in a T2T_ViT: set heads=False'):
        require_prunable(model, path, attention=True)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            {'layer_cfgs': [{'num_heads': 2}, {}, {}]},
            r'as many heads and hidden units, got \[\(2, 40\), \(4, 40\)\]',
        ),
        ({'layer_cfgs': {'num_fcs': 3}}, 'block 0 has MultiheadAttention and FFN'),
        (
            {'type': 'mmvitkd.ExtraTokenViT', 'extra_tokens': 1},
            'alone, not in a ExtraTokenViT: set heads=False and dims=False',
        ),
        (
            {'type': 'mmvitkd.SlicedViT', 'value_dims': [[6, 4]] * 3},
            'not in a SlicedViT',
        ),
    ],
)
def test_students_that_can_not_be_pruned(changes, message):
    _, model = student(**changes)
    with pytest.raises(ValueError, match=message):
        require_prunable(model, PATH, attention=True)


def test_other_backbones_are_refused():
    model = build(
        {
            'type': 'ImageClassifier',
            'backbone': {'type': 'mmpretrain.SwinTransformer', 'img_size': 64},
            'head': {**HEAD, 'in_channels': 768},
        }
    )
    with pytest.raises(ValueError, match='a SwinTransformer has no place for blocks'):
        require_prunable(model, 'backbone.stages', attention=False)
