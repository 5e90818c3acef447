import copy
import logging
import math

import pytest
import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample

from mmvitkd.models import (
    ContrastiveClsHead,
    InterClassContrast,
    IntraClassContrast,
    SelfSupervisedContrast,
    Teacher,
)
from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import NKD, build, distiller, samples, vit

LOG = math.log
KINDS = [IntraClassContrast, InterClassContrast, SelfSupervisedContrast]
# three images: unit vectors at 0, 90 and 0 degrees; every second view at 0 degrees,
# so the positives' cosines are 1, 0 and 1, the pairs' (0, 1) 0, (0, 2) 1, (1, 2) 0
FIRST = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
SECOND = torch.tensor([[1.0, 0.0]] * 3)
LABELS = torch.tensor([0, 0, 1])
# p of the label: 3/4, 3/4 and 1/2, of the other class 1/4, 1/4 and 1/2
LOGITS = torch.tensor([[LOG(3), 0.0], [LOG(3), 0.0], [0.0, 0.0]])
T = 1 / LOG(2)  # e^(s / T) = 2^s


def contrast(kind, classes=2, channels=2, **kwargs):
    made = kind(**{'temperature': T, 'loss_weight': 1.0, **kwargs})
    made.reserve(classes, channels)
    return made


def random_batch(size=12, classes=3, channels=8):
    first, second = torch.randn(2, size, channels)
    labels = torch.arange(size) % classes
    # the label is the likeliest in most, not in all
    logits = 5 * (torch.randn(size, classes) + torch.eye(classes)[labels])
    return first, second, logits, labels


def test_intra_class_by_hand():
    """Margins 1/2, 1/2, 0. Anchor 0: positive 2^1, negative 1 with 2^0, so
    -ln(2/3). Anchor 1: 2^0 and 2^0, ln 2. Anchor 2 is not certain."""
    loss = contrast(IntraClassContrast, margin=0.4)(FIRST, SECOND, LOGITS, LABELS)
    assert loss.item() == pytest.approx((LOG(1.5) + LOG(2)) / 2)


def test_intra_class_with_a_cache_by_hand():
    """As before, with a vector at 0 degrees of class 0 and one of class 1: anchor 0
    has 2^1 / (2^1 + 2^0 + 2^1), anchor 1 has 2^0 / (2^0 + 2^0 + 2^0)."""
    made = contrast(IntraClassContrast, margin=0.4, loss_weight=3.0)
    made.store(torch.tensor([[5.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    loss = made(FIRST, SECOND, LOGITS, LABELS)
    assert loss.item() == pytest.approx(3 * (LOG(5 / 2) + LOG(3)) / 2)


def test_inter_class_by_hand():
    """Anchors 0 and 1 have negative 2, anchor 2 has both: 2^1 / (2^1 + 2^1),
    2^0 / (2^0 + 2^0) and 2^1 / (2^1 + 2^1 + 2^0)."""
    loss = contrast(InterClassContrast)(FIRST, SECOND, LOGITS, LABELS)
    assert loss.item() == pytest.approx((LOG(2) + LOG(2) + LOG(5 / 2)) / 3)


def test_self_supervised_by_hand():
    """Anchor 0: 2^1 / (2^1 + 2^0 + 2^1); anchor 1: 2^0 / (3 * 2^0); anchor 2 is
    anchor 0's mirror image. No label matters."""
    made = contrast(SelfSupervisedContrast)
    loss = made(FIRST, SECOND, LOGITS, LABELS)
    assert loss.item() == pytest.approx((LOG(5 / 2) + LOG(3) + LOG(5 / 2)) / 3)
    assert torch.equal(loss, made(FIRST, SECOND, LOGITS, LABELS.flip(0)))


def test_margin_is_strict():
    """The margins 1/2 are not over 1/2 (up to rounding, so a little is added)."""
    made = contrast(IntraClassContrast, margin=0.501)
    assert not made.counted(LOGITS, LABELS).any()
    made = contrast(IntraClassContrast, margin=0.499)
    assert made.counted(LOGITS, LABELS).tolist() == [True, True, False]
    even = torch.zeros(1, 2)
    none = contrast(IntraClassContrast, margin=0.0).counted(even, torch.tensor([0]))
    assert none.tolist() == [False]


def test_no_anchor_over_the_margin_is_zero_and_attached():
    first = FIRST.clone().requires_grad_()
    loss = contrast(IntraClassContrast, margin=0.9)(first, SECOND, LOGITS, LABELS)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(first.grad, torch.zeros_like(first))


@pytest.mark.parametrize('kind', KINDS)
def test_without_negatives_it_is_zero_with_finite_gradient(kind):
    """One image, so nothing repels it whatever the kind, the cache being empty."""
    first = FIRST[:1].clone().requires_grad_()
    loss = contrast(kind)(first, SECOND[:1] + 1, 9 * LOGITS[:1], LABELS[:1])
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(first.grad, torch.zeros_like(first))


def test_class_with_one_sample_adds_zero():
    """To the two anchors of class 0 comes one of class 1: a third of their sum."""
    logits = torch.tensor([[LOG(3), 0.0], [LOG(3), 0.0], [0.0, LOG(3)]])
    loss = contrast(IntraClassContrast, margin=0.4)(FIRST, SECOND, logits, LABELS)
    assert loss.item() == pytest.approx((LOG(1.5) + LOG(2)) / 3)


def test_margin_one_is_off_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmvitkd.models.heads.intra_class_contrast.print_log',
        lambda text, logger, level: said.append((text, level)),
    )
    contrast(IntraClassContrast, margin=0.99)
    assert not said
    made = contrast(IntraClassContrast, margin=1.0)
    ((text, level),) = said
    assert 'margin=1' in text and level == logging.WARNING
    certain = 1e4 * torch.eye(2)[LABELS]
    assert made(FIRST, SECOND, certain, LABELS).item() == 0


@pytest.mark.parametrize('kind', KINDS)
def test_permutation_of_the_batch_changes_nothing(kind):
    torch.manual_seed(0)
    made = contrast(kind, classes=3, channels=8, temperature=0.1)
    batch, later = random_batch(), random_batch()
    other = copy.deepcopy(made)
    order = torch.randperm(12)
    for data in (batch, later):  # the second one meets the cache of the first
        loss = made(*data)
        assert loss > 0
        assert torch.allclose(loss, other(*(x[order] for x in data)), rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_computed_in_float32_under_autocast(kind):
    torch.manual_seed(0)
    made = contrast(kind, classes=3, channels=8, temperature=0.1)
    batch = random_batch()
    expected = copy.deepcopy(made)(*batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = made(*batch)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_cache_never_crosses_classes_and_is_detached():
    """Every feature tells its class: the angle is 10 * label, and a little."""
    made = contrast(IntraClassContrast, classes=9, cache_size=4)
    torch.manual_seed(0)
    for _ in range(5):
        labels = torch.randint(9, (20,))
        angle = torch.deg2rad(10.0 * labels + torch.rand(20))
        features = torch.stack([angle.cos(), angle.sin()], 1).requires_grad_()
        made(features, features, 9 * torch.eye(9)[labels], labels).backward()
    assert not made.cache.requires_grad
    degrees = torch.rad2deg(torch.atan2(made.cache[..., 1], made.cache[..., 0]))
    assert (made.stored >= 4).all()
    assert torch.equal((degrees / 10).floor(), torch.arange(9.0)[:, None].expand(9, 4))


def test_cache_keeps_the_last_of_each_class():
    made = contrast(IntraClassContrast, classes=2, channels=8, cache_size=3)
    features, labels = torch.eye(8), torch.tensor([0, 0, 1, 0, 0, 0, 1, 0])
    for part in (slice(0, 2), slice(2, 7), slice(7, 8)):  # four of class 0 at once
        made.store(features[part], labels[part])
    kept = [{int(row.argmax()) for row in rows if row.any()} for rows in made.cache]
    assert kept == [{4, 5, 7}, {2, 6}]
    assert made.stored.tolist() == [6, 2]
    assert torch.equal(made.negatives(features, labels)[1][0, 8:], torch.ones(3) > 0)
    assert made.negatives(features, labels)[1][2, 8:].tolist() == [True, True, False]


def config(kind='IntraClassContrast', **contrast):
    """A ViT as ``helpers.vit``, with the head and the preprocessor for two views."""
    cfg = vit()
    cfg['head'] = {
        **cfg['head'],
        'type': 'ContrastiveClsHead',
        'contrast': {'type': kind, **contrast},
    }
    return {**cfg, 'data_preprocessor': {'type': 'TwoViewDataPreprocessor'}}


def two_views(labels):
    images = torch.randn(2, len(labels), 3, 32, 32)
    return {'inputs': [list(images[0]), list(images[1])], 'data_samples': labels}


def train_step(model, data):
    return model(**model.data_preprocessor(data, training=True), mode='loss')


@pytest.mark.parametrize('kind', [kind.__name__ for kind in KINDS])
def test_gradient_reaches_backbone_by_both_views(kind):
    """The contrast alone: that of the cross-entropy is left out."""
    margin = {'margin': 0.0} if kind == 'IntraClassContrast' else {}
    model = build(config(kind, **margin))
    features = []
    model.backbone.register_forward_hook(lambda *a: features.append(a[2][-1]))
    labels = list(range(5)) * 4
    losses = train_step(model, two_views(samples(labels)))
    assert set(losses) == {'loss', 'loss_contrast'}
    (gradient,) = torch.autograd.grad(
        losses['loss_contrast'], features[0], retain_graph=True
    )
    first, second = gradient.chunk(2)
    assert first.any() and second.any()
    losses['loss_contrast'].backward()
    assert all(p.grad is not None for p in model.backbone.layers.parameters())
    assert model.backbone.patch_embed.projection.weight.grad.any()


def test_classification_loss_is_the_plain_heads_on_the_first_view():
    model, plain = build(config()), build(vit())
    plain.load_state_dict(model.state_dict())
    data = two_views(samples([0, 1, 2]))
    first = torch.stack(data['inputs'][0])
    expected = plain.loss(first, samples([0, 1, 2]))['loss']
    assert torch.allclose(train_step(model, data)['loss'], expected, rtol=1e-5)


def test_prediction_and_weights_are_the_plain_heads():
    model, plain = build(config()).eval(), build(vit()).eval()
    assert model.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(model.state_dict())
    data = {'inputs': list(torch.randn(3, 3, 32, 32)), 'data_samples': samples([0] * 3)}
    ours, theirs = model.val_step(copy.deepcopy(data)), plain.val_step(data)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.pred_score, other.pred_score)
        assert torch.equal(one.gt_label, other.gt_label)


def test_cache_is_no_part_of_checkpoints_but_moves_with_the_model():
    model = build(config(cache_size=5))
    assert not [name for name in model.state_dict() if 'contrast' in name]
    assert model.head.contrast.cache.shape == (10, 5, 16)
    assert model.to(torch.float64).head.contrast.cache.dtype == torch.float64
    hidden = build({**config()['head'], 'hidden_dim': 7})
    assert hidden.contrast.cache.shape == (10, 16, 7)


def test_trained_checkpoint_teaches_unchanged(tmp_path):
    cfg = config(margin=0.0)
    model = build(cfg)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        sum(train_step(model, two_views(samples([0, 0, 1, 1]))).values()).backward()
        optimiser.step()
    assert model.head.contrast.stored.sum() == 8
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'trained.pth')
    Config({'model': cfg}).dump(tmp_path / 'trained.py')
    teacher = {
        'cfg': str(tmp_path / 'trained.py'),
        'checkpoint': str(tmp_path / 'trained.pth'),
    }
    alone = Teacher(**teacher)
    alone.load()
    images, tap = torch.randn(2, 3, 32, 32), Tap('head')
    answer = alone(images, model.data_preprocessor, [tap])[tap].value
    assert torch.equal(answer, model.eval()(images))

    kd = {**NKD, 'loss': {'type': 'KDLoss'}}
    made = build(distiller(tmp_path, teacher=teacher, terms={'kd': kd}))
    losses = made(images, samples([0, 1]), mode='loss')
    assert set(losses) == {'loss', 'loss_kd'}
    assert losses['loss_kd'] > 0


def test_loads_into_a_plain_classifier():
    trained = build(config())
    build(vit()).load_state_dict(trained.state_dict(), strict=True)


@pytest.mark.parametrize('collated', [False, True])
def test_preprocessor_puts_first_views_before_second_ones(collated):
    made = build(
        {'type': 'TwoViewDataPreprocessor', 'mean': [1.0] * 3, 'std': [2.0] * 3}
    )
    views = torch.arange(6.0).view(2, 3, 1, 1, 1).expand(2, 3, 3, 4, 4)
    inputs = list(views) if collated else [list(view) for view in views]
    data = made({'inputs': inputs, 'data_samples': samples([4, 5, 6])}, training=True)
    assert data['inputs'].shape == (6, 3, 4, 4)
    assert torch.equal(data['inputs'][:, 0, 0, 0], (torch.arange(6.0) - 1) / 2)
    assert [int(s.gt_label) for s in data['data_samples']] == [4, 5, 6]


def test_errors():
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match='margin must be from 0 to 1'):
            IntraClassContrast(margin=value)
    for kind in KINDS:
        with pytest.raises(ValueError, match='temperature must be above 0, got 0'):
            kind(temperature=0)
    with pytest.raises(ValueError, match='cache_size must be above 0'):
        IntraClassContrast(cache_size=0)


def test_single_view_is_refused():
    model = build(config())
    data = {'inputs': list(torch.randn(4, 3, 32, 32)), 'data_samples': samples([0] * 4)}
    with pytest.raises(ValueError, match='4 features for 4 labels: .*TwoView'):
        train_step(model, data)


def test_other_numbers_of_views_are_refused():
    model = build(config())
    for count in (1, 3):
        views = [list(torch.randn(2, 3, 32, 32))] * count
        with pytest.raises(ValueError, match=f'gives {count} views of each image'):
            train_step(model, {'inputs': views, 'data_samples': samples([0, 1])})


def test_mixed_labels_are_refused():
    mixup = {'augments': [{'type': 'Mixup', 'alpha': 0.8}]}
    with pytest.raises(ValueError, match='must keep one label'):
        build({**config(), 'train_cfg': mixup})

    model = build(config())
    mixed = torch.tensor([0.7, 0.3] + [0.0] * 8)
    data = two_views([DataSample().set_gt_score(mixed) for _ in range(2)])
    with pytest.raises(ValueError, match=r'labels are mixed \(largest share 0\.70'):
        train_step(model, data)


def test_hard_scores_are_labels():
    """As a preprocessor with ``to_onehot=True`` gives them."""
    cfg = config(margin=0.0)
    cfg['data_preprocessor'].update(to_onehot=True, num_classes=10)
    cfg['head']['loss'] = {'type': 'LabelSmoothLoss', 'label_smooth_val': 0.1}
    model = build(cfg)
    assert isinstance(model.head, ContrastiveClsHead)
    assert torch.isfinite(train_step(model, two_views(samples([3, 3])))['loss'])
    assert model.head.contrast.stored.tolist() == [0, 0, 0, 2] + [0] * 6
