import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models import SwinTransformer, VisionTransformer
from torch import nn

from mmvitkd.models import StrictPretrained, ViTDet
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.export import export_student
from tests.helpers import build, distiller, save_weights, vit

ARCH = vit(16)['backbone']['arch']
VIT = {
    'type': 'mmpretrain.VisionTransformer',
    'arch': ARCH,
    'img_size': 32,
    'patch_size': 8,
}
VITDET = {
    **VIT,
    'type': 'mmvitkd.ViTDet',
    'window_size': 2,
    'global_blocks': 1,
    'img_size': 64,
    'pos_resize': 'load',
}
SWIN = {
    'type': 'mmpretrain.SwinTransformer',
    'arch': {'embed_dims': 8, 'depths': [1, 1, 1, 1], 'num_heads': [1, 1, 1, 1]},
    'window_size': 2,
    'out_indices': (0, 1, 2, 3),
}
UNUSED = ['cls_token', r'ln1\..*']


def initialised(backbone: dict, checkpoint: object, **options: object) -> nn.Module:
    """Build a backbone as a detector's config would, and let it load."""
    init = {
        'type': 'mmvitkd.StrictPretrained',
        'checkpoint': str(checkpoint),
        **options,
    }
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmengine'):
        parent = BaseModule()
        parent.backbone = MODELS.build({**backbone, 'init_cfg': init})
        parent.init_weights()
    return parent.backbone


def assert_loaded(backbone: nn.Module, weights: dict, count: int) -> None:
    """Bit by bit, so nothing was drawn anew afterwards."""
    same = [n for n, v in backbone.state_dict().items() if n in weights]
    assert len(same) == count
    for name in same:
        if name != 'pos_embed':  # resized
            assert torch.equal(backbone.state_dict()[name], weights[name]), name


@pytest.fixture
def plain(tmp_path):
    """A classifier's weights, or an exported student's."""
    return save_weights(vit(16), tmp_path / 'plain.pth')


@pytest.fixture
def weights(plain):
    return weights_of(load_checkpoint(plain), 'backbone.')


def test_all_weights_of_mmpretrains_vit_are_loaded(plain, weights):
    """Its own init_weights would draw positions and FFNs anew."""
    backbone = initialised(VIT, plain)
    assert_loaded(backbone, weights, len(backbone.state_dict()))
    assert torch.equal(backbone.pos_embed, weights['pos_embed'])


def test_vitdet_loads_all_but_what_is_listed(plain, weights):
    backbone = initialised(
        {**VITDET, 'rel_pos': True}, plain, expected_unused=UNUSED,
        expected_missing=[r'layers\.\d+\.attn\.rel_pos_[hw]'],
    )  # fmt: skip
    assert_loaded(backbone, weights, len(weights) - 3)
    assert backbone.layers[0].attn.rel_pos_h.abs().sum() == 0
    reference = ViTDet(ARCH, 64, patch_size=8, global_blocks=1, pos_resize='load')
    reference.load_state_dict(weights, strict=False)
    assert torch.equal(backbone.pos_embed, reference.pos_embed)


@pytest.mark.parametrize(
    ('source', 'target'),
    # of as many tokens as well
    [(14, (16, 12)), (14, (12, 16)), (14, (14, 14)), (12, (16, 9)), (4, (5, 3))],
)
@pytest.mark.parametrize('extra', [['cls_token'], ['cls_token', 'dist_token']])
def test_positions_without_the_class_token_keep_rows_and_columns(
    tmp_path, source, target, extra
):
    """They hold their own coordinates, which bicubic resizing nearly keeps."""
    own = vit(16, img_size=8 * source)
    path = save_weights(own, tmp_path / 'classifier.pth')
    weights = torch.load(path)['state_dict']
    grid = torch.zeros(1, source, source, 16)
    grid[..., 0] = torch.arange(source)[:, None]  # its row
    grid[..., 1] = torch.arange(source)  # its column
    leading = torch.full((1, len(extra), 16), 1e6)
    positions = torch.cat([leading, grid.flatten(1, 2)], 1)
    weights['backbone.pos_embed'] = positions
    weights |= {f'backbone.{name}': torch.zeros(1, 1, 16) for name in extra}
    torch.save({'state_dict': weights}, path)

    img_size = tuple(8 * side for side in target)
    backbone = initialised(
        {**VIT, 'img_size': img_size, 'with_cls_token': False, 'out_type': 'featmap'},
        path,
        expected_unused=extra,
    )
    fitted = backbone.pos_embed.detach().unflatten(1, target)[0]
    rows, columns = (
        (torch.arange(side) + 0.5) * source / side - 0.5 for side in target
    )
    torch.testing.assert_close(
        fitted[..., 0], rows[:, None].expand(target), rtol=0, atol=0.15
    )
    torch.testing.assert_close(
        fitted[..., 1], columns.expand(target), rtol=0, atol=0.15
    )


def test_a_position_for_every_token_is_left_to_the_model(tmp_path):
    """With the class token; and of an estimator, whose map is not square."""
    for with_cls_token in (True, False):
        own = {
            **VIT,
            'img_size': (64, 48),
            'with_cls_token': with_cls_token,
            'out_type': 'featmap',
        }
        model = build(own)
        weights = {f'backbone.{n}': v for n, v in model.state_dict().items()}
        weights['backbone.pos_embed'] = torch.randn_like(model.pos_embed)
        torch.save(weights, tmp_path / 'own.pth')
        backbone = initialised(own, tmp_path / 'own.pth')
        assert torch.equal(backbone.pos_embed, weights['backbone.pos_embed'])


def test_positions_of_another_width_are_refused_as_such(tmp_path):
    path = save_weights(vit(24), tmp_path / 'wide.pth')
    narrow = {**VIT, 'img_size': (64, 48), 'with_cls_token': False}
    message = r'mismatch for pos_embed: \[1, 48, 24\] in the file, \[1, 48, 16\]'
    with pytest.raises(ValueError, match=message):
        initialised({**narrow, 'out_type': 'featmap'}, path)


def test_swin_loads_all_but_the_norms_of_its_stages(tmp_path):
    cfg = {**SWIN, 'out_indices': (3,)}
    head = {'type': 'LinearClsHead', 'num_classes': 2, 'in_channels': 64}
    path = save_weights(
        {'type': 'ImageClassifier', 'backbone': cfg, 'head': head}, tmp_path / 's.pth'
    )
    missing = [r'norm[012]\..*']
    backbone = initialised(SWIN, path, expected_missing=missing)
    assert isinstance(backbone, SwinTransformer)
    weights = weights_of(load_checkpoint(path), 'backbone.')
    assert_loaded(backbone, weights, len(weights))
    assert torch.equal(backbone.norm0.weight, torch.ones(8))
    with pytest.raises(ValueError, match='6 weights .norm0.bias.* are missing'):
        initialised(SWIN, path)


@pytest.mark.parametrize('prefix', [None, 'student.backbone.'])
def test_distillation_and_exported_checkpoints_load_alike(tmp_path, prefix):
    path = save_weights(distiller(tmp_path), tmp_path / 'epoch_1.pth')
    exported = export_student(path, tmp_path / 'student.pth')
    short = None if prefix is None else 'backbone.'
    first = initialised(VIT, path, prefix=prefix).state_dict()
    second = initialised(VIT, exported, prefix=short).state_dict()
    student = weights_of(load_checkpoint(path), 'student.backbone.')
    for name, weight in student.items():
        assert torch.equal(first[name], weight)
        assert torch.equal(second[name], weight)


def test_the_log_says_what_was_loaded(plain, weights, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmvitkd.models.initializers.strict_pretrained.print_log',
        lambda line, **_: lines.append(line),
    )
    initialised(VITDET, plain, expected_unused=UNUSED)
    (line,) = lines
    assert f'ViTDet: {len(weights) - 3} weights of ' in line
    assert "plain.pth', below 'backbone.'" in line
    assert 'lacks 0 weights and 3 weights (cls_token, ln1.bias, ln1.weight)' in line


def test_what_is_not_listed_is_refused_by_name(plain):
    with pytest.raises(ValueError) as error:
        initialised({**VITDET, 'rel_pos': True}, plain, expected_unused=['cls_token'])
    message = str(error.value)
    assert 'layers.2.attn.rel_pos_w) are missing in the file' in message
    assert '2 weights (ln1.bias, ln1.weight) are unknown to the model' in message
    assert 'cls_token' not in message


def test_patterns_match_whole_names(plain):
    with pytest.raises(ValueError, match='ln1.bias, ln1.weight. are unknown'):
        initialised(VITDET, plain, expected_unused=['cls_token', 'ln1'])


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (vit(24), r'have another shape, for example: size mismatch for \w+.*width'),
        (vit(16, layers=2), r'layers.2.attn.proj.bias.* are missing in the file'),
        (vit(16, layers=4), r'layers.3.attn.proj.bias.* are unknown to the model'),
        (
            {
                'type': 'ImageClassifier',
                'backbone': SWIN,
                'head': {'type': 'LinearClsHead', 'num_classes': 2, 'in_channels': 64},
            },
            r'(?s)another shape.*architecture.*layers.0.*missing.*stages.0.*unknown',
        ),
    ],
    ids=['width', 'shallower', 'deeper', 'architecture'],
)
def test_another_model_is_refused(tmp_path, other, message):
    path = save_weights(other, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=message) as error:
        initialised(VITDET, path, expected_unused=UNUSED)
    assert "other.pth' (weights below 'backbone.') does not fit" in str(error.value)
    assert len(str(error.value)) < 10_000


def test_other_prefixes_are_named(plain, tmp_path):
    with pytest.raises(ValueError, match=r"'student\.backbone\.'; this .*'backbone\.'"):
        initialised(VIT, plain, prefix='student.backbone.')
    path = save_weights(distiller(tmp_path), tmp_path / 'd.pth')
    with pytest.raises(
        ValueError, match=r"'backbone\.'; this .*'student\.', 'terms\.'"
    ):
        initialised(VIT, path, prefix='backbone.')
    torch.save({'model.a': torch.ones(1)}, tmp_path / 'none.pth')
    with pytest.raises(
        ValueError, match=r"'backbone\.'; this checkpoint has .'model\."
    ):
        initialised(VIT, tmp_path / 'none.pth')


def test_truncated_and_absent_files_are_refused(plain, tmp_path):
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(plain.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut.pth' (can't be read|is damaged)"):
        initialised(VIT, cut)
    with pytest.raises(ValueError, match="gone.pth' does not exist"):
        initialised(VIT, tmp_path / 'gone.pth')


def test_a_module_of_plain_torch_loads_as_well(tmp_path):
    torch.save({'backbone.weight': torch.ones(1, 1)}, tmp_path / 'c.pth')
    layer = nn.Linear(1, 1, bias=False)
    StrictPretrained(str(tmp_path / 'c.pth'))(layer)
    assert layer.weight.item() == 1


def test_found_by_our_own_scope_without_a_prefix(plain, weights):
    init = {'type': 'StrictPretrained', 'checkpoint': str(plain)}
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        backbone = build({**VIT, 'type': 'VisionTransformer', 'init_cfg': init})
        backbone.init_weights()
    assert isinstance(backbone, VisionTransformer)
    assert_loaded(backbone, weights, len(weights))
