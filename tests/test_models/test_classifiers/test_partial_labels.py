"""Images with and without a label in one batch: each loss sees those it can."""

import pytest
import torch
from mmpretrain.structures import DataSample

from tests.helpers import MIMIC, NKD, build, distiller, samples

BATCH = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
KD = {**NKD, 'loss': {'type': 'KDLoss'}}
TERMS = {'mimic0': MIMIC, 'kd': KD, 'nkd': NKD}
LABELLED = [1, 3]


def partly() -> list[DataSample]:
    """The second and the fourth have a label."""
    return [DataSample(), *samples([4]), DataSample(), *samples([7])]


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return build(distiller(tmp_path, terms=TERMS, task_weight=0.5)).eval()


def test_labels_losses_are_those_of_the_labelled_images(model):
    """And the others those of the whole batch."""
    losses = model.loss(BATCH, partly())
    part = model.loss(BATCH[LABELLED], samples([4, 7]))
    whole = model.loss(BATCH, samples([0, 4, 0, 7]))
    for name in ('loss', 'loss_nkd'):
        torch.testing.assert_close(losses[name], part[name], rtol=1e-5, atol=1e-6)
    for name in ('loss_kd', 'loss_mimic0'):
        torch.testing.assert_close(losses[name], whole[name], rtol=1e-6, atol=0)
        assert not torch.isclose(losses[name], part[name])


def test_scores_are_labels_too(model):
    scores = torch.eye(10)[[4, 7]]
    mixed = partly()
    for place, score in zip(LABELLED, scores, strict=True):
        mixed[place] = DataSample().set_gt_score(score)
    losses, indices = model.loss(BATCH, mixed), model.loss(BATCH, partly())
    torch.testing.assert_close(losses['loss_nkd'], indices['loss_nkd'])


def test_a_batch_without_labels_is_taught_by_the_others(model):
    model.partly_labelled = True  # as the hook that counts them says
    losses = model.loss(BATCH, [DataSample() for _ in range(4)])
    assert losses['loss'] == losses['loss_nkd'] == 0
    assert losses['loss_kd'] > 0 and losses['loss_mimic0'] > 0
    losses['loss'].backward()
    gradient = model.student.head.layers.head.weight.grad
    assert gradient is not None and not gradient.any()  # which DDP waits for


def test_no_labels_at_all_are_refused_but_for_those_who_say_so(model, tmp_path):
    bare = [DataSample() for _ in range(4)]
    with pytest.raises(ValueError, match='task_weight=0.5 .*set model.task_weight=0'):
        model.loss(BATCH, bare)
    model = build(distiller(tmp_path, terms={'kd': KD}, task_weight=0.0))
    assert set(model.loss(BATCH, bare)) == {'loss_kd'}
    nkd = build(distiller(tmp_path, terms={'nkd': NKD}, task_weight=0.0))
    with pytest.raises(ValueError, match='NKDLoss needs labels'):
        nkd.loss(BATCH, bare)


def test_several_labels_an_image(tmp_path):
    head = {'type': 'MultiLabelLinearClsHead', 'num_classes': 10, 'in_channels': 16}
    cfg = distiller(tmp_path, terms={'mimic0': MIMIC})
    cfg['student']['head'] = head
    model = build(cfg).eval()
    given = [DataSample(), DataSample().set_gt_label([1, 2]), DataSample()]
    losses = model.loss(BATCH[:3], given)
    alone = model.loss(BATCH[1:2], [DataSample().set_gt_label([1, 2])])
    torch.testing.assert_close(losses['loss'], alone['loss'], rtol=1e-5, atol=1e-6)


def test_a_student_of_timm(tmp_path):
    student = {
        'type': 'TimmClassifier', 'model_name': 'vit_tiny_patch16_224', 'img_size': 32,
        'patch_size': 8, 'embed_dim': 16, 'depth': 1, 'num_heads': 2, 'num_classes': 10,
    }  # fmt: skip
    terms = {'kd': {**KD, 'student': 'model.head'}}
    model = build(distiller(tmp_path, student=student, terms=terms)).eval()
    losses = model.loss(BATCH, partly())
    alone = model.loss(BATCH[LABELLED], samples([4, 7]))
    torch.testing.assert_close(losses['loss'], alone['loss'], rtol=1e-5, atol=1e-6)


def preprocessed(augments, data_samples, training=True):
    made = build(
        {
            'type': 'PartlyLabelledDataPreprocessor',
            'mean': [1.0] * 3,
            'std': [2.0] * 3,
            'num_classes': 10,
            'batch_augments': augments,
        }
    )
    return made({'inputs': BATCH, 'data_samples': data_samples}, training)


@pytest.mark.parametrize('first', [True, False])
def test_the_preprocessor_keeps_the_order(first):
    given = partly() if first else partly()[::-1]
    out = preprocessed(None, given)
    torch.testing.assert_close(out['inputs'], (BATCH - 1) / 2)
    assert [('gt_label' in one) for one in out['data_samples']] == [
        'gt_label' in one for one in given
    ]
    assert not any('gt_score' in one for one in out['data_samples'])


def test_mixup_mixes_like_with_like():
    """With a batch's single other image of its kind, so that the partners are known."""
    torch.manual_seed(1)
    mixup = {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    plain, kinds = (BATCH - 1) / 2, {1: (1, 3), 3: (1, 3), 0: (0, 2), 2: (0, 2)}
    changed = set()
    for _ in range(8):
        out = preprocessed(mixup, partly())
        for i, image in enumerate(out['inputs']):
            basis = torch.stack([plain[j].flatten() for j in kinds[i]], 1)
            share = torch.linalg.lstsq(basis, image.flatten()[:, None]).solution
            torch.testing.assert_close(basis @ share, image.flatten()[:, None])
            assert share.sum() == pytest.approx(1, abs=1e-4)
            if not torch.allclose(image, plain[i], atol=1e-4):
                changed.add(i)
            if i in LABELLED:
                score = out['data_samples'][i].gt_score
                torch.testing.assert_close(
                    score[[4, 7]], share[:, 0], atol=1e-4, rtol=0
                )
            else:
                assert 'gt_score' not in out['data_samples'][i]
    assert changed == {0, 1, 2, 3}
    still = preprocessed(mixup, partly(), training=False)['inputs']
    torch.testing.assert_close(still, plain)


def test_images_without_labels_are_mixed_too():
    mixup = {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    torch.manual_seed(0)
    out = preprocessed(mixup, [DataSample() for _ in range(4)])
    assert not torch.allclose(out['inputs'], (BATCH - 1) / 2)
