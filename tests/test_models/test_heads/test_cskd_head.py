"""The head, and the terms that its one module has two taps for."""

import pytest
import torch

from mmvitkd.models import CSKDClsHead, GridPooler
from tests.helpers import build, distiller, samples, save_weights, vit

DENSE = {
    'student': 'head.layers.head_dist',
    'teacher': {'path': 'backbone', 'through': 'head.fc'},
    'neck': {'type': 'GridPooler'},
    'loss': {'type': 'CSKDLoss'},
}
DIST = {
    'student': {'path': 'head.layers.head_dist', 'tokens': 'cls'},
    'teacher': 'head',
    'loss': {'type': 'HardKDLoss'},
}
CNN = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'ResNet', 'depth': 18, 'stem_channels': 8, 'base_channels': 8,
        'strides': (1, 2, 2, 1),
    },
    'neck': {'type': 'GlobalAveragePooling'},
    'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 64},
}  # fmt: skip


def student() -> dict:
    cfg = vit(type='DistilledVisionTransformer', out_type='raw')
    cfg['head']['type'] = 'CSKDClsHead'
    return cfg


def images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_prediction_is_the_mean_of_three():
    head = CSKDClsHead(num_classes=5, in_channels=4, init_cfg=None)
    x = torch.randn(2, 2 + 6, 4)
    label = head.layers.head(x[:, 0])
    dist, dense = head.layers.head_dist(x[:, 1]), head.layers.head_dist(x[:, 2:])
    torch.testing.assert_close(head.train()((x,)), label)
    expected = (label + dist + dense.mean(1)) / 3
    torch.testing.assert_close(head.eval()((x,)), expected)


def test_places_of_a_cnn_teach_patches_and_its_prediction_the_token(tmp_path):
    teacher = {'cfg': CNN, 'checkpoint': str(save_weights(CNN, tmp_path / 'cnn.pth'))}
    cfg = distiller(
        tmp_path, student=student(), terms={'dist': DIST, 'dense': DENSE},
        teacher=teacher,
    )  # fmt: skip
    model = build(cfg)
    out = model.loss(images(), samples([0, 1, 2, 3]))
    by_loss = {}
    for name in ('loss', 'loss_dist', 'loss_dense'):
        model.zero_grad()
        out[name].backward(retain_graph=True)
        layers = model.student.head.layers
        by_loss[name] = [
            part.weight.grad is not None and bool(part.weight.grad.any())
            for part in (layers.head, layers.head_dist)
        ]
    assert by_loss == {
        'loss': [True, False], 'loss_dist': [False, True], 'loss_dense': [False, True]
    }  # fmt: skip
    # the mean over the places is what the CNN predicts
    (tap,) = (s.teacher for s in model._specs if s.name == 'dense')
    taps = model.teacher_taps['teacher']
    seen = model.teachers['teacher'](images(), model.data_preprocessor, taps)
    assert seen[tap].value.shape == (4, 4, 10)
    assert seen[tap].hw == (2, 2)
    logits = next(f.value for t, f in seen.items() if t.path == 'head')
    torch.testing.assert_close(seen[tap].value.mean(1), logits)


def test_a_module_that_does_not_take_it_is_named(tmp_path):
    teacher = {'cfg': CNN, 'checkpoint': str(save_weights(CNN, tmp_path / 'cnn.pth'))}
    for through, message in (
        ('head.fcc', "has no such module; did you mean 'head.fc'"),
        ('backbone.layer1.0.conv1', r'the Conv2d does not take \(4, 4, 64\)'),
    ):
        dense = {**DENSE, 'teacher': {'path': 'backbone', 'through': through}}
        cfg = distiller(
            tmp_path, student=student(), terms={'dense': dense}, teacher=teacher
        )
        with pytest.raises(ValueError, match=message):
            build(cfg)


def test_tokens_are_averaged_to_the_teachers_grid():
    x = torch.arange(16.0).view(1, 16, 1)
    t = torch.zeros(1, 4, 1)
    pooled, same = GridPooler(1, 1)(x, (4, 4), t, (2, 2))
    assert pooled.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert same is t
    with pytest.raises(ValueError, match='student has 10 channels.*teacher 12'):
        GridPooler(10, 12)


def test_a_backbone_without_patches_is_refused():
    with pytest.raises(ValueError, match=r"got tuple: set out_type='raw'"):
        CSKDClsHead(num_classes=5, in_channels=4)(((torch.zeros(2, 4),) * 2,))
