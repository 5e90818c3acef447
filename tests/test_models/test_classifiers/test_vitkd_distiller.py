from copy import deepcopy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import load_state_dict

from mmvitkd.models import ManifoldLoss
from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.utils import weights_of
from tests.helpers import GEN, MIMIC, NKD, build, distiller, samples, save_weights, vit
from tests.test_models.test_classifiers.distillers import LABELS, made
from tests.test_models.test_classifiers.test_tap import SWIN


def test_public_shape(tmp_path, images):
    model = made(tmp_path)
    losses = model(images, LABELS, mode='loss')
    assert list(losses) == ['loss', 'loss_mimic0', 'loss_gen', 'loss_nkd']
    assert all(value.ndim == 0 for value in losses.values())
    assert list(model.terms) == ['mimic0', 'gen', 'nkd']
    assert type(model.terms['mimic0'].neck).__name__ == 'LinearProjector'
    assert model.terms['mimic0'].neck.fc.weight.shape == (24, 16)
    assert type(model.terms['gen'].loss).__name__ == 'ViTKDGenLoss'
    assert model.terms['nkd'].neck is None


def test_losses_by_hand(tmp_path, images):
    """The whole objective, recomputed from the two models without a hook."""
    gen = {**GEN, 'neck': {'type': 'ConvGenerativeProjector', 'mask_ratio': 0}}
    model = made(tmp_path, terms={'mimic0': MIMIC, 'gen': gen}).eval()
    losses = model(images, LABELS, mode='loss')
    teacher = model.teachers['teacher'].model

    def first_and_last(net):
        x = net.backbone.patch_embed(images)[0]
        x = torch.cat((net.backbone.cls_token.expand(4, -1, -1), x), 1)
        x = x + net.backbone.pos_embed
        outs = []
        for layer in net.backbone.layers:
            x = layer(x)
            outs.append(x[:, 1:])
        return outs[0], net.backbone.ln1(x)[:, 1:]

    s0, s_last = first_and_last(model.student)
    t0, t_last = first_and_last(teacher)
    mimic = 3e-5 * (model.terms['mimic0'].neck.fc(s0) - t0).square().sum() / 4
    generated = model.terms['gen'].neck(s_last, (4, 4))[0]
    gen = 3e-6 * (generated - t_last).square().sum() / 4
    assert torch.allclose(losses['loss_mimic0'], mimic)
    assert torch.allclose(losses['loss_gen'], gen)
    task = torch.nn.functional.cross_entropy(model.student(images), torch.arange(4))
    assert torch.allclose(losses['loss'], task)


def test_teacher_is_out_of_reach(tmp_path, images):
    model = made(tmp_path)
    teacher = model.teachers['teacher'].model
    inside = {id(p) for p in teacher.parameters()}
    assert not inside & {id(p) for p in model.parameters()}
    assert all(k.startswith(('student.', 'terms.')) for k in model.state_dict())
    assert not any(m is teacher for m in model.modules())
    assert ExponentialMovingAverage(model).module.teachers['teacher'].model is teacher
    before = deepcopy(teacher.state_dict())
    model.train()
    model.zero_grad()
    sum(model(images, LABELS, mode='loss').values()).backward()
    assert not any(m.training for m in teacher.modules())
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


def test_teachers_features_ignore_the_students_mode(tmp_path, images):
    teacher = vit(24, drop_path_rate=0.5, drop_rate=0.5)
    cfg = {'cfg': teacher, 'checkpoint': save_weights(teacher, tmp_path / 'd.pth')}
    plain = {**MIMIC, 'student': 'backbone.patch_embed'}  # nothing random before it
    model = made(tmp_path, teacher=cfg, terms={'mimic0': plain})
    values = {
        model.train(mode)(images, LABELS, mode='loss')['loss_mimic0'].item()
        for mode in (True, False, True)
    }
    assert len(values) == 1


def test_gradients_reach_student_and_every_neck(tmp_path, images):
    model = made(tmp_path)
    sum(model(images, LABELS, mode='loss').values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_zero_when_the_student_is_the_teacher(tmp_path, images):
    model = made(tmp_path, student=vit(24), terms={'mimic0': MIMIC})
    model.student.load_state_dict(model.teachers['teacher'].model.state_dict())
    assert model(images, LABELS, mode='loss')['loss_mimic0'].item() == 0


def test_predict_tensor_and_features_are_the_students(tmp_path, images):
    model = made(tmp_path).eval()
    assert torch.equal(model(images), model.student(images))
    assert torch.equal(
        model.extract_feat(images)[0], model.student.extract_feat(images)[0]
    )
    predicted = model(images, mode='predict')
    expected = model.student(images, mode='predict')
    assert [p.pred_label for p in predicted] == [p.pred_label for p in expected]


def test_prediction_needs_no_teacher_weights(tmp_path, images):
    cfg = distiller(tmp_path)
    (tmp_path / 'teacher.pth').unlink()
    model = build(cfg).eval()
    assert len(model(images, mode='predict')) == 4
    with pytest.raises(ValueError, match='does not exist'):
        model(images, LABELS, mode='loss')
    with pytest.raises(ValueError, match='does not exist'):
        model.init_weights()


def test_students_start_is_that_of_training_it_alone(tmp_path):
    model = made(tmp_path)
    torch.manual_seed(0)
    alone = build(vit(16))
    alone.init_weights()
    for name, value in alone.state_dict().items():
        assert torch.equal(value, model.student.state_dict()[name]), name


def test_moves_with_to(tmp_path, images):
    model = made(tmp_path).to(torch.float64)
    teacher = model.teachers['teacher'].model
    assert next(teacher.parameters()).dtype == torch.float64
    assert model(images.double(), LABELS, mode='loss')['loss_gen'].isfinite()
    model.to('meta')
    assert next(teacher.parameters()).device.type == 'meta'


def test_follows_autocast(tmp_path, images):
    model = made(tmp_path)
    seen = []
    head = model.teachers['teacher'].model.head.layers.head
    head.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(images, LABELS, mode='loss')
    assert seen == [torch.bfloat16]
    assert all(value.dtype == torch.float32 for value in losses.values())


def test_mixup_and_cutmix_arrive(tmp_path):
    """Given to the student, as MMPretrain's configs do, they must not get lost."""
    augments = [{'type': 'Mixup', 'alpha': 0.8}, {'type': 'CutMix', 'alpha': 1.0}]
    student = {**vit(16), 'train_cfg': {'augments': augments}}
    model = made(tmp_path, student=student, data_preprocessor={'num_classes': 10})
    data = {'inputs': torch.randn(4, 3, 32, 32), 'data_samples': samples([0, 1, 2, 3])}
    mixed = model.data_preprocessor(data, training=True)
    scores = torch.stack([s.gt_score for s in mixed['data_samples']])
    assert ((scores > 0).sum(1) == 2).any()
    assert model(**mixed, mode='loss')['loss_nkd'].isfinite()
    with pytest.raises(ValueError, match='train_cfg is given to the distiller and'):
        made(tmp_path, student=student, train_cfg={'augments': augments[:1]})


def test_training_step_moves_student_and_necks(tmp_path, images):
    model = made(tmp_path)
    before = deepcopy(model.state_dict())
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    logs = model.train_step({'inputs': images, 'data_samples': LABELS}, wrapper)
    assert {'loss', 'loss_mimic0', 'loss_gen', 'loss_nkd'} <= set(logs)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert {k.split('.')[0] for k in moved} == {'student', 'terms'}


def test_task_weight(tmp_path, images):
    half, full = (made(tmp_path, task_weight=w) for w in (0.5, 1.0))
    losses = [model(images, LABELS, mode='loss')['loss'] for model in (half, full)]
    assert torch.allclose(losses[0] * 2, losses[1])
    blind = made(tmp_path, task_weight=0, terms={'mimic0': MIMIC})
    assert list(blind(images, None, mode='loss')) == ['loss_mimic0']
    with pytest.raises(ValueError, match='at least 0, got -1'):
        made(tmp_path, task_weight=-1)


def test_task_weight_is_none_of_a_metrics(tmp_path, images):
    student = vit(16)
    student['head'] = {**student['head'], 'cal_acc': True, 'topk': (5,)}
    half, full = (
        made(tmp_path, student=student, task_weight=weight)(images, LABELS, mode='loss')
        for weight in (0.5, 1.0)
    )
    (metric,) = (key for key in full if 'loss' not in key)
    assert full[metric][0] > 0  # else any factor would do
    assert half[metric] == full[metric]


def test_task_weight_of_zero_trains_without_labels(tmp_path, images):
    """Bit by bit the same, whatever the labels say; not so with them."""

    terms = {'mimic0': MIMIC, 'gen': GEN, 'kd': {**NKD, 'loss': {'type': 'KDLoss'}}}

    def trained(task_weight, labels):
        model = made(tmp_path, task_weight=task_weight, terms=terms)
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        for _ in range(2):
            torch.manual_seed(1)  # of the masks
            batch = {'inputs': images, 'data_samples': samples(labels)}
            model.train_step(batch, wrapper)
        return model.state_dict()

    right, random = [0, 1, 2, 3], [7, 7, 9, 8]
    for weight, same in ((0, True), (0.1, False)):
        one, other = trained(weight, right), trained(weight, random)
        assert all(torch.equal(one[key], other[key]) for key in one) == same


def test_one_teacher_under_two_names_weighs_twice(tmp_path, images):
    """The same objective and gradients as one term of twice the weight."""
    one = distiller(tmp_path)['teacher']

    def term(teacher, weight):
        loss = {'type': 'KDLoss', 'loss_weight': weight}
        return {'student': 'head', 'teacher': f'{teacher}:head', 'loss': loss}

    found = []
    for terms in (
        {'kd': term('a', 2.0)},
        {'kd_a': term('a', 1.0), 'kd_b': term('b', 1.0)},
    ):
        teachers = dict.fromkeys(('a', 'b')[: len(terms)], one)
        model = made(tmp_path, teacher=None, teachers=teachers, terms=terms)
        losses = model(images, LABELS, mode='loss')
        sum(losses.values()).backward()
        found.append((sum(losses.values()), model.student.head.layers.head.weight.grad))
    for once, twice in zip(*found, strict=True):
        torch.testing.assert_close(once, twice)
    assert losses['loss_kd_a'] == losses['loss_kd_b'] > 0


def test_a_teacher_that_no_term_asks(tmp_path):
    one = distiller(tmp_path)['teacher']
    terms = {'kd': {**NKD, 'teacher': 'a:head'}}
    with pytest.raises(ValueError, match=r"no term taps the teachers \['b'\]"):
        made(tmp_path, teacher=None, teachers={'a': one, 'b': one}, terms=terms)


def test_taps_choose_their_tokens(tmp_path, images):
    cls = {
        'student': {'path': 'backbone.layers.1', 'tokens': 'cls'},
        'teacher': {'path': 'backbone.layers.1', 'tokens': 'cls'},
        'neck': {'type': 'LinearProjector'},
        'loss': {'type': 'ViTKDMimicLoss'},
    }
    every = deepcopy(cls)
    every['student']['tokens'] = every['teacher']['tokens'] = 'all'
    model = made(tmp_path, terms={'cls': cls, 'all': every})
    losses = model(images, LABELS, mode='loss')
    assert 0 < losses['loss_cls'] < losses['loss_all']


def cls_terms(*layers):
    """PKD's terms: the class tokens of some layers."""
    return {
        f'pkd{i}': {
            'student': {'path': f'backbone.layers.{i}', 'tokens': 'cls'},
            'teacher': {'path': f'backbone.layers.{i}', 'tokens': 'cls'},
            'neck': {'type': 'LinearProjector'},
            'loss': {'type': 'NormalisedMSELoss'},
        }
        for i in layers
    }


def test_pkd_by_hand(tmp_path, images):
    """Twice one minus the cosine of the class tokens, which the head reads."""
    model = made(tmp_path, terms=cls_terms(0, 1)).eval()
    losses = model(images, LABELS, mode='loss')
    for i in (0, 1):
        tokens = []
        for net in (model.student, model.teachers['teacher'].model):
            net.backbone.layers[i].register_forward_hook(
                lambda _, __, out, tokens=tokens: tokens.append(out[:, 0])
            )
            net(images)
        s = model.terms[f'pkd{i}'].neck(tokens[0])
        cosine = torch.nn.functional.cosine_similarity(s, tokens[1])
        expected = 2 * (1 - cosine.mean())
        assert losses[f'loss_pkd{i}'].item() == pytest.approx(expected.item(), rel=1e-5)


def test_pkd_of_a_swin_says_what_to_tap(tmp_path):
    cls = {'path': 'backbone.stages.1.blocks.0', 'tokens': 'cls'}
    term = {**cls_terms(0)['pkd0'], 'student': cls}
    with pytest.raises(ValueError, match="no class token .* use tokens='patch'"):
        build(distiller(tmp_path, student=SWIN, terms={'pkd': term}))


def test_manifold_of_swins_merges_by_their_grids(tmp_path):
    """16x16 tokens of the first stage, merged by 4, also where an image is wide."""
    teacher = deepcopy(SWIN)
    teacher['backbone']['arch']['embed_dims'] = 16
    teacher['head']['in_channels'] = 128
    tap = 'backbone.stages.0.blocks.1'
    term = {'student': tap, 'teacher': tap}
    term['loss'] = {'type': 'ManifoldLoss', 'random': 0.0, 'merge': 4}
    path = save_weights(teacher, tmp_path / 'swin.pth')
    model = made(
        tmp_path,
        student=SWIN,
        teacher={'cfg': teacher, 'checkpoint': str(path), 'input_size': 'same'},
        terms={'manifold': term},
    ).eval()
    wide = torch.randn(2, 3, 64, 128)
    loss = model(wide, LABELS[:2], mode='loss')['loss_manifold']
    merged = []
    for net in (model.student, model.teachers['teacher'].model):
        with record(net, [Tap(tap)]) as seen:
            net(wide)
        x, hw, *_ = seen[Tap(tap)]
        assert hw == (16, 32)
        squares = (
            x.unflatten(1, hw).unfold(1, 4, 4).unfold(2, 4, 4)
        )  # (B, 4, 8, C, 4, 4)
        merged.append(squares.flatten(3).flatten(1, 2))
    plain = ManifoldLoss(random=0.0)(*merged)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)


def test_unequal_grids_are_resampled(tmp_path, images):
    """A teacher on 64 pixels has an 8x8 grid; the student's is 4x4."""
    teacher = vit(24, img_size=64)
    cfg = {'cfg': teacher, 'checkpoint': save_weights(teacher, tmp_path / 't64.pth')}
    model = made(tmp_path, teacher=cfg)
    losses = model(images, LABELS, mode='loss')
    assert sum(losses.values()).isfinite()


def test_resampling_does_not_alias():
    """Columns of 1 and -2, two to one, are 0 from afar."""
    from mmvitkd.models.classifiers.tap import Feature
    from mmvitkd.models.classifiers.term import resample

    tokens = torch.ones(1, 12, 12, 1)
    tokens[:, :, ::3] = -2
    coarse = resample(Feature(tokens.flatten(1, 2), (12, 12)), (4, 4)).view(4, 4)
    assert coarse[:, 1:3].abs().max() < 0.2


def test_resampling_keeps_a_ramp():
    from mmvitkd.models.classifiers.tap import Feature
    from mmvitkd.models.classifiers.term import resample

    ramp = torch.arange(8.0).repeat(8, 1).flatten()[None, :, None]  # (1, 64, 1)
    coarse = resample(Feature(ramp, (8, 8)), (4, 4)).view(4, 4)
    assert torch.allclose(
        coarse[:, 1:3], torch.tensor([2.5, 4.5]).expand(4, 2), atol=0.1
    )


def test_layer_depth_for_layer_decay(tmp_path):
    model = made(tmp_path)
    student = model.student
    for name in (
        'backbone.patch_embed.projection.weight',
        'backbone.layers.1.ln1.bias',
    ):
        assert model.get_layer_depth(f'student.{name}') == student.get_layer_depth(name)
    assert model.get_layer_depth('terms.gen.neck.mask_token') == (4, 5)


def test_checkpoint_of_a_timm_student(tmp_path):
    """MMPretrain's wrapper renames weights in a way that breaks inside a model."""
    timm_vit = {
        'type': 'TimmClassifier',
        'model_name': 'vit_tiny_patch16_224',
        'img_size': 32,
        'depth': 2,
        'num_classes': 10,
    }
    terms = {'mimic0': {**MIMIC, 'student': 'model.blocks.0'}}
    trained, fresh = (made(tmp_path, student=timm_vit, terms=terms) for _ in range(2))
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.normal_()
    weights = trained.state_dict()
    load_state_dict(fresh, dict(weights), strict=True)  # MMEngine's own
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, weights[name]), name
    alone = build(timm_vit)
    alone.load_state_dict(weights_of({'state_dict': weights}, 'student.'))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(alone.eval()(images), trained.student.eval()(images))


def test_necks_start_alike_whatever_the_teacher_draws(tmp_path):
    """So a run from stored outputs, whose teacher draws nothing, starts the same."""
    necks = []
    for layers in (3, 5):
        teacher = vit(24, layers=layers)
        path = save_weights(teacher, tmp_path / f'{layers}.pth')
        torch.manual_seed(0)
        model = build(
            distiller(tmp_path, teacher={'cfg': teacher, 'checkpoint': str(path)})
        )
        necks.append(model.terms.state_dict())
    assert necks[0]
    assert all(torch.equal(necks[0][key], necks[1][key]) for key in necks[0])
