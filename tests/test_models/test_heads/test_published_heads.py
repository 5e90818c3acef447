"""Heads that MMPretrain has for testing only: LeViT's and EfficientFormer's."""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import heads as upstream

from mmvitkd.utils.export import plain_config
from tests.helpers import NKD, build, distiller, samples, vit

LABELS = samples([0, 1])
KINDS = {
    'LeViTClsHead': ('head_dist', (torch.randn(2, 16, 1, 1),)),
    'EfficientFormerClsHead': ('dist_head', (torch.randn(2, 16),)),
}


def student(kind: str, **head) -> dict:
    cfg = vit(16, out_type='avg_featmap' if 'Eff' in kind else 'featmap')
    cfg['head'] = {'type': kind, 'num_classes': 10, 'in_channels': 16, **head}
    if 'Eff' not in kind:
        cfg['neck'] = {'type': 'GlobalAveragePooling'}
    return cfg


def made(tmp_path, kind: str, **head):
    path = f'head.{KINDS[kind][0]}'
    hard = {'student': path, 'teacher': 'head', 'loss': {'type': 'HardKDLoss'}}
    cfg = distiller(tmp_path, student=student(kind, **head), terms={'hard': hard})
    return cfg, build(cfg)


@pytest.mark.parametrize('kind', KINDS)
def test_labels_teach_one_head_and_the_teacher_the_other(tmp_path, kind):
    _, model = made(tmp_path, kind)
    model.init_weights()
    images = torch.randn(2, 3, 32, 32)
    losses = model(images, LABELS, mode='loss')
    head = model.student.head
    parts = head.head, getattr(head, KINDS[kind][0])

    def reached(loss):
        grads = torch.autograd.grad(
            loss, [p for part in parts for p in part.parameters()],
            retain_graph=True, allow_unused=True,
        )  # fmt: skip
        half = len(grads) // 2
        return [any(g is not None for g in g_) for g_ in (grads[:half], grads[half:])]

    assert reached(losses['loss']) == [True, False]
    assert reached(losses['loss_hard']) == [False, True]


@pytest.mark.parametrize('kind', KINDS)
def test_weights_and_predictions_are_mmpretrains(tmp_path, kind):
    cfg, model = made(tmp_path, kind)
    head = model.student.head.eval()
    theirs = getattr(upstream, kind)(num_classes=10, in_channels=16)
    theirs.load_state_dict(head.state_dict())
    feats = KINDS[kind][1]
    if kind == 'LeViTClsHead':
        feats = (feats[0].flatten(1),)
    assert torch.equal(head(feats), theirs.eval()(feats))
    plain = plain_config(Config({'model': cfg}))
    assert plain.model.head.type == kind


@pytest.mark.parametrize('kind', KINDS)
def test_a_head_that_nothing_teaches_is_refused(tmp_path, kind):
    cfg = distiller(tmp_path, student=student(kind), terms={'nkd': NKD})
    with pytest.raises(ValueError, match=r"student='head\.\w+', .*distillation=False"):
        build(cfg)
    plain = student(kind, distillation=False)
    model = build(distiller(tmp_path, student=plain, terms={'nkd': NKD}))
    model.init_weights()
    losses = model(torch.randn(2, 3, 32, 32), LABELS, mode='loss')
    assert losses['loss'].isfinite()
