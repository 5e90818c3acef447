import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.models import CutMix, DeiTClsHead

from mmvitkd.models import ExtraTokenClsHead
from tests.helpers import build, distiller, samples, vit
from tests.shrink import CONFIGS

LABELS = samples([1, 2])
DIST = {
    'student': 'head.layers.head_dist',
    'teacher': 'head',
    'loss': {'type': 'HardKDLoss'},
}


def deit(width: int = 16, **head) -> dict:
    """Config of a ViT with a distillation token."""
    cfg = vit(width)
    cfg['backbone']['type'] = 'DistilledVisionTransformer'
    cfg['head'] = {**cfg['head'], 'type': 'ExtraTokenClsHead', **head}
    return cfg


def made(folder, **changes):
    torch.manual_seed(0)
    cfg = {'student': deit(), 'terms': {'dist': DIST}, **changes}
    model = build(distiller(folder, **cfg))
    model.init_weights()
    return model


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))


def gradients(model, *losses: str) -> dict[str, torch.Tensor | None]:
    """Of both heads' weights and of both tokens, from some of the losses."""
    found = model(images(), LABELS, mode='loss')
    model.zero_grad()
    sum(found[name] for name in losses).backward()
    layers, backbone = model.student.head.layers, model.student.backbone
    weights = {
        'head': layers.head.weight,
        'head_dist': layers.head_dist.weight,
        'cls_token': backbone.cls_token,
        'dist_token': backbone.dist_token,
    }
    return {name: weight.grad for name, weight in weights.items()}


def reached(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())


def test_labels_teach_the_class_token_and_the_term_the_other(tmp_path):
    model = made(tmp_path)
    task, term = gradients(model, 'loss'), gradients(model, 'loss_dist')
    assert not reached(task['head_dist'])
    assert reached(task['head'])
    assert reached(term['head_dist'])
    assert not reached(term['head'])
    # in the layers, the tokens attend to each other
    assert all(reached(g[t]) for g in (task, term) for t in ('cls_token', 'dist_token'))


def test_losses_by_hand(tmp_path):
    """Half the weight each, on the logits of one token each."""
    half = {**DIST, 'loss': {'type': 'HardKDLoss', 'loss_weight': 0.5}}
    model = made(tmp_path, terms={'dist': half}, task_weight=0.5)
    found = model(images(), LABELS, mode='loss')
    student = model.student
    cls, dist = student.backbone(images())[-1]
    labels = model.teachers['teacher'].model(images()).argmax(1)
    by_hand = {
        'loss': (student.head.layers.head(cls), torch.tensor([1, 2])),
        'loss_dist': (student.head.layers.head_dist(dist), labels),
    }
    assert found.keys() == by_hand.keys()
    for name, (logits, target) in by_hand.items():
        expected = 0.5 * torch.nn.functional.cross_entropy(logits, target)
        assert found[name].item() == pytest.approx(expected.item())


@pytest.mark.parametrize('names', [('dist',), ('conv', 'inv')])
def test_predicts_the_mean_of_all_logits(names):
    head = ExtraTokenClsHead(num_classes=3, in_channels=4, extra_tokens=names)
    tokens = torch.randn(1 + len(names), 2, 4)
    layers = ('head', *(f'head_{name}' for name in names))
    weights = [head.layers.get_submodule(name) for name in layers]
    for linear in weights:
        torch.nn.init.normal_(linear.weight)
    logits = [linear(x) for linear, x in zip(weights, tokens, strict=True)]
    feats = (tuple(tokens),)
    assert torch.equal(head.train()(feats), logits[0])
    mean = sum(logits) / len(logits)
    torch.testing.assert_close(head.eval()(feats), mean)
    scores = [sample.pred_score for sample in head.predict(feats)]
    torch.testing.assert_close(torch.stack(scores), mean.softmax(1))


@pytest.mark.parametrize('hidden_dim', [None, 5])
def test_weights_and_predictions_are_those_of_mmpretrains_head(hidden_dim):
    shape = {'num_classes': 3, 'in_channels': 4, 'hidden_dim': hidden_dim}
    ours, upstream = ExtraTokenClsHead(**shape).eval(), DeiTClsHead(**shape).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    upstream.load_state_dict(ours.state_dict(), strict=True)
    feats = (tuple(torch.randn(2, 6, 4)),)
    assert torch.equal(ours(feats), upstream(feats))


def test_heads_share_no_weights_and_the_token_begins_as_the_papers(tmp_path):
    model = made(tmp_path, student=deit(256))
    layers, token = model.student.head.layers, model.student.backbone.dist_token
    assert not torch.equal(layers.head.weight, layers.head_dist.weight)
    assert token.std().item() == pytest.approx(0.02, rel=0.2)
    # the class token, the distillation token and 16 patches
    assert model.student.backbone.pos_embed.shape == (1, 18, 256)


def test_the_teacher_labels_the_mixed_images(tmp_path):
    """Its label is that of the CutMix, not of either image that went into it."""
    augments = {'augments': {'type': 'CutMix', 'alpha': 1.0}}
    model = made(tmp_path, train_cfg=augments, data_preprocessor={'num_classes': 10})
    assert isinstance(model.data_preprocessor.batch_augments.augments[0], CutMix)
    whole = images(8)
    data = {'inputs': whole.clone(), 'data_samples': samples(list(range(8)))}
    torch.manual_seed(0)
    mixed = model.data_preprocessor(data, training=True)
    assert not torch.equal(mixed['inputs'], whole)
    teacher, seen = model.teachers['teacher'].model, []
    with torch.no_grad():  # undecided, so that it says different things
        teacher.head.layers.head.bias -= teacher(whole).mean(0)
    teacher.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    loss = model(**mixed, mode='loss')['loss_dist']
    assert torch.equal(seen[0], mixed['inputs'])
    labels = [teacher(x).argmax(1) for x in (mixed['inputs'], whole)]
    assert not torch.equal(*labels)
    dist = model.student.backbone(mixed['inputs'])[-1][1]
    logits = model.student.head.layers.head_dist(dist)
    expected = torch.nn.functional.cross_entropy(logits, labels[0])
    assert loss.item() == pytest.approx(expected.item())


def test_label_smoothing_is_of_the_labels_alone(tmp_path):
    smooth = {'type': 'LabelSmoothLoss', 'label_smooth_val': 0.1, 'num_classes': 10}
    plain, smoothed = made(tmp_path), made(tmp_path, student=deit(loss=smooth))
    one, other = (m(images(), LABELS, mode='loss') for m in (plain, smoothed))
    assert one['loss_dist'] == other['loss_dist']
    assert one['loss'] != other['loss']


def test_a_backbone_with_other_tokens_is_refused():
    head = ExtraTokenClsHead(num_classes=3, in_channels=4, extra_tokens=('a', 'b'))
    with pytest.raises(ValueError, match=r"'b'\) takes 3 tokens .* yields 2"):
        head((tuple(torch.zeros(2, 2, 4)),))
    with pytest.raises(ValueError, match="yields 1: .* 'DistilledVisionTransformer'"):
        build({**vit(16), 'head': deit()['head']})(images())


@pytest.mark.parametrize('names', [(), 'dist', ('a', 'a')])
def test_names_that_are_none(names):
    with pytest.raises(ValueError, match='different names, at least one'):
        ExtraTokenClsHead(num_classes=3, in_channels=4, extra_tokens=names)


def test_a_head_without_its_name_is_offered(tmp_path):
    term = {**DIST, 'student': 'head.layers.head_dits'}
    with pytest.raises(ValueError, match="did you mean 'head.layers.head_dist'"):
        build(distiller(tmp_path, student=deit(), terms={'dist': term}))


def test_no_token_of_deit_is_decayed():
    """As in the released code."""
    name = 'deit-hard_deit-tiny_regnety-16gf_8xb128_in1k.py'
    cfg = Config.fromfile(CONFIGS / 'deit_distilled' / name)
    model = build({'type': 'ViTKDDistiller', 'student': cfg.model.student})
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decay = {
        id(p): group['weight_decay']
        for group in optimizer.param_groups
        for p in group['params']
    }
    backbone, layers = model.student.backbone, model.student.head.layers
    for free in (backbone.cls_token, backbone.dist_token, backbone.pos_embed):
        assert decay[id(free)] == 0
    assert decay[id(layers.head_dist.weight)] == decay[id(layers.head.weight)] == 0.05
