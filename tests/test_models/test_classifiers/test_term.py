import math

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.runner import Runner

from mmvitkd.models.classifiers.tap import Feature
from mmvitkd.models.classifiers.term import DistillTerm, parse_term
from tests.helpers import MIMIC, build, distiller, samples, save_weights, vit
from tests.shrink import CONFIGS, shrink

LABELS = samples([0, 1, 2, 3])
TAT = {
    'student': 'backbone.ln1',
    'teacher': 'backbone.ln1',
    'neck': {'type': 'TargetAwareNeck'},
    'loss': {'type': 'ViTKDMimicLoss', 'reduction': 'mean', 'loss_weight': 1.0},
}


class HalfMasked(BaseModule):
    """A two-sided neck with a mask: it lays the student's first tokens on the teacher's
    grid, and has the first half of them compared."""

    two_sided = True

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(in_channels, out_channels)

    def forward(self, x, hw, t, hw_t):
        x, t = self.fc(x)[:, :8], t[:, :8]
        mask = torch.arange(8).expand(len(x), 8) < 4
        return x, t, mask


class OneSide(HalfMasked):
    """Forgets the teacher, which two images would hide: they unpack as two sides."""

    def forward(self, x, hw, t, hw_t):
        return self.fc(x)


def swin(width: int, window_size: int = 2) -> dict:
    arch = {'embed_dims': width, 'depths': [2, 2, 1, 1], 'num_heads': [2, 2, 2, 2]}
    backbone = {'arch': arch, 'img_size': 64, 'window_size': window_size}
    return {
        'type': 'ImageClassifier',
        'backbone': {'type': 'SwinTransformer', 'pad_small_map': True, **backbone},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {
            'type': 'LinearClsHead',
            'num_classes': 10,
            'in_channels': 8 * width,
        },
    }


def resnet(width: int, depth: int = 18) -> dict:
    backbone = {'depth': depth, 'stem_channels': width, 'base_channels': width}
    head = {'num_classes': 10, 'in_channels': 8 * width}
    return {
        'type': 'ImageClassifier',
        'backbone': {'type': 'ResNet', 'out_indices': (3,), **backbone},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', **head},
    }


def term(cfg: dict, student: Feature, teacher: Feature) -> DistillTerm:
    return DistillTerm(parse_term('t', cfg, ('teacher',)), student, teacher)


def pair(tmp_path, student: dict, teacher: dict, **terms: dict):
    weights = save_weights(teacher, tmp_path / 'pair.pth')
    cfg = {'cfg': teacher, 'checkpoint': str(weights)}
    return build(distiller(tmp_path, student=student, teacher=cfg, terms=terms))


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize('name', ['', 'a.b', 'keys', 3])
def test_a_name_that_no_module_can_have(name):
    with pytest.raises(ValueError, match='a term can not be named'):
        parse_term(name, MIMIC, ('teacher',))


def test_a_two_sided_neck_gets_both_sides_at_their_own_grids(tmp_path, log):
    """A teacher on 64 pixels has an 8x8 grid; the student's is 4x4."""
    model = pair(tmp_path, vit(16), vit(24, img_size=64), tat=TAT)
    assert 'resampled' not in log.text
    seen = []
    neck = model.terms['tat'].neck
    neck.register_forward_pre_hook(lambda _, args: seen.append(args))
    losses = model.loss(torch.randn(4, 3, 32, 32), LABELS)
    ((x, hw, t, hw_t),) = seen
    assert (x.shape, hw) == ((4, 16, 16), (4, 4))
    assert (t.shape, hw_t) == ((4, 64, 24), (8, 8))
    by_hand = (neck(x, hw, t, hw_t)[0] - t).square().mean()
    assert losses['loss_tat'].item() == pytest.approx(by_hand.item())


def test_other_necks_get_the_teacher_resampled(tmp_path, log):
    pair(tmp_path, vit(16), vit(24, img_size=64), mimic=MIMIC)
    message = (
        "term 'mimic': the teacher's (8, 8) grid is resampled to the student's (4,"
    )
    assert message in log.text


@pytest.mark.parametrize('cfg', [TAT, MIMIC], ids=['two-sided', 'one-sided'])
def test_no_gradient_reaches_the_teacher(cfg):
    """Whatever stands in for the teacher, also one that would take a gradient."""
    student = Feature(tokens(2, 16, 5).requires_grad_(), (4, 4))
    teacher = Feature(tokens(2, 16, 7).requires_grad_(), (4, 4))
    term(cfg, student, teacher)(student, teacher, None).backward()
    assert student.value.grad.any()
    assert teacher.value.grad is None


def test_a_two_sided_neck_may_mask():
    cfg = {**TAT, 'neck': {'type': HalfMasked}}
    student, teacher = (
        Feature(tokens(2, 16, 5), (4, 4)),
        Feature(tokens(2, 16, 7), None),
    )
    loss = {'type': 'ViTKDGenLoss', 'loss_weight': 1.0, 'reduction': 'mean'}
    masked = term({**cfg, 'loss': loss}, student, teacher)
    x = masked.neck.fc(student.value)[:, :4]
    by_hand = (x - teacher.value[:, :4]).square().mean()
    out = masked(student, teacher, None)
    assert out.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_two_sided_neck_that_forgets_a_side(tmp_path):
    message = "term 'tat': the two-sided neck OneSide must return .student, teacher."
    with pytest.raises(ValueError, match=message):
        pair(tmp_path, vit(16), vit(24), tat={**TAT, 'neck': {'type': OneSide}})


def test_a_two_sided_neck_needs_grids(tmp_path):
    every = {'path': 'backbone.ln1', 'tokens': 'all'}
    with pytest.raises(ValueError, match='None does not match 17 patch tokens'):
        pair(tmp_path, vit(16), vit(24), tat={**TAT, 'student': every})


def qkv(student: str, teacher: str) -> dict:
    """Relations in the windows of two Swins' blocks, such as ``'0.blocks.1'``."""
    path = 'backbone.stages.{}.attn.w_msa.qkv'
    return {
        'student': {'path': path.format(student), 'tokens': 'all'},
        'teacher': {'path': path.format(teacher), 'tokens': 'all'},
        'loss': {'type': 'QKVRelationLoss'},
    }


def test_relations_in_the_windows_of_a_swin(tmp_path):
    """Of widths 8 and 16; a gradient reaches the student's patches, and the teacher
    stops once its last tap has fired."""
    model = pair(
        tmp_path,
        swin(8),
        swin(16),
        plain=qkv('0.blocks.0', '0.blocks.0'),
        shifted=qkv('0.blocks.1', '0.blocks.1'),
    )
    fired = []
    teacher = model.teachers['teacher'].model
    teacher.backbone.stages[1].register_forward_hook(lambda *_: fired.append(1))
    losses = model.loss(torch.randn(4, 3, 64, 64), LABELS)
    assert not fired
    assert losses['loss_plain'] > 0
    (losses['loss_plain'] + losses['loss_shifted']).backward()
    assert model.student.backbone.patch_embed.projection.weight.grad.any()


def test_windows_of_another_shift_are_refused(tmp_path):
    message = r"term 'm'.*shifted by \(0, 0\) and the teacher's by \(1, 1\).*same shift"
    with pytest.raises(ValueError, match=message):
        pair(tmp_path, swin(8), swin(16), m=qkv('0.blocks.0', '0.blocks.1'))


def test_windows_of_another_size_are_refused(tmp_path):
    message = r"term 'm'.*\(128, 4, 24\).*\(32, 16, 48\).*same number of tokens"
    with pytest.raises(ValueError, match=message):
        pair(tmp_path, swin(8), swin(16, 4), m=qkv('0.blocks.0', '0.blocks.0'))


def test_a_single_window_has_no_shift(tmp_path):
    """Swin does not shift the last stage's, whatever the block's number."""
    student, teacher = swin(8, 4), swin(16, 4)
    for cfg in (student, teacher):
        cfg['backbone'].update(img_size=128, pad_small_map=False)
    teacher['backbone']['arch']['depths'] = [2, 2, 1, 2]
    last = qkv('3.blocks.0', '3.blocks.1')
    model = pair(tmp_path, student, teacher, m=last)
    assert model.loss(torch.randn(4, 3, 128, 128), LABELS)['loss_m'] > 0


def test_relations_of_plain_vits_have_the_class_token(tmp_path):
    path = {'path': 'backbone.layers.1.attn.qkv', 'tokens': 'all'}
    cfg = {'student': path, 'teacher': path, 'loss': {'type': 'QKVRelationLoss'}}
    model = pair(tmp_path, vit(16), vit(24), m=cfg)
    seen = []
    model.terms['m'].loss.register_forward_pre_hook(lambda _, args: seen.append(args))
    assert model.loss(torch.randn(4, 3, 32, 32), LABELS)['loss_m'] > 0
    assert [x.shape for x in seen[0]] == [(4, 17, 48), (4, 17, 72)]


def test_the_trial_leaves_a_cnn_as_it_was(tmp_path):
    """Its batch norms would remember the two blank images."""
    tap = {'student': 'backbone.layer4', 'teacher': 'backbone.layer4'}
    model = pair(tmp_path, resnet(4), resnet(8), tat={**TAT, **tap})
    for name, count in model.named_buffers():
        assert not name.endswith('num_batches_tracked') or count == 0
    norm = model.student.backbone.bn1
    assert torch.equal(norm.running_mean, torch.zeros(4))
    before = model.teachers['teacher'].model.backbone.bn1.running_mean.clone()
    model.train()
    model.loss(torch.randn(4, 3, 64, 64), LABELS)
    assert norm.num_batches_tracked == 1
    assert torch.equal(
        model.teachers['teacher'].model.backbone.bn1.running_mean, before
    )


@pytest.mark.parametrize(
    ('neck', 'tap'),
    [
        ({'type': 'TargetAwareNeck'}, 'backbone.layer4'),
        ({'type': 'PatchGroupNeck', 'cells': (2, 2), 'groups': 2}, 'backbone.layer3'),
        ({'type': 'AnchorPointNeck', 'anchors': (2, 2)}, 'backbone.layer3'),
        ({'type': 'LinearProjector'}, 'backbone.layer2'),
    ],
    ids=lambda x: x if isinstance(x, str) else x['type'],
)
def test_cnns_train_on_digits(neck, tap, tmp_path):
    """By the real runner: a student without a patch embedding, taps that are maps."""
    cfg = Config.fromfile(CONFIGS / 'digits' / 'digits_student.py')
    loss = {'type': 'ViTKDMimicLoss', 'reduction': 'mean', 'loss_weight': 0.2}
    cfg.model = {
        'type': 'ViTKDDistiller',
        'student': resnet(8),
        'teacher': {'cfg': resnet(16, 34), 'checkpoint': 'unread.pth'},
        'task_weight': 0.1,
        'terms': {'m': {'student': tap, 'teacher': tap, 'neck': neck, 'loss': loss}},
    }
    runner = Runner.from_cfg(shrink(cfg, tmp_path))
    runner.train()
    log = runner.message_hub.log_scalars
    values = log['train/loss_m'].data[0]
    assert len(values) == 2
    assert all(v > 0 and math.isfinite(v) for v in values)
    saved = torch.load(tmp_path / 'work_dir' / 'epoch_1.pth', weights_only=False)
    names = saved['state_dict']
    assert 'student.backbone.layer4.1.conv2.weight' in names
    assert all(name.startswith(('student.', 'terms.m.', 'data_')) for name in names)


def test_a_cnn_student_of_a_vit_and_the_other_way_round(tmp_path):
    """Maps and patch tokens meet on the grids that they have."""
    mixed = {**TAT, 'student': 'backbone.layer3'}
    model = pair(tmp_path, resnet(4), vit(24), m=mixed)
    assert model.loss(torch.randn(4, 3, 32, 32), LABELS)['loss_m'] > 0
    mixed = {**TAT, 'teacher': 'backbone.layer3'}
    model = pair(tmp_path, vit(16), resnet(4), m=mixed)
    assert model.loss(torch.randn(4, 3, 32, 32), LABELS)['loss_m'] > 0


def test_a_loss_that_wants_the_grid_and_a_neck_that_may_change_it(tmp_path):
    term = {**TAT, 'loss': {'type': 'ManifoldLoss'}}
    with pytest.raises(ValueError, match='ManifoldLoss needs the grid'):
        pair(tmp_path, vit(16), vit(24), m=term)
