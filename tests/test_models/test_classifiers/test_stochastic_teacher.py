from functools import cache

import pytest
import torch

from mmvitkd.models import StochasticTeacher, Teacher
from mmvitkd.models.classifiers.stochastic_teacher import similarity
from mmvitkd.models.classifiers.tap import Feature, Tap
from tests.helpers import build, distiller, samples, save_weights, vit

HEAD = Tap('head')
LAST = Tap('backbone.ln1')
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def made(tmp_path, kind=StochasticTeacher, **kwargs):
    path = save_weights(vit(), tmp_path / 't.pth')
    teacher = kind(vit(), checkpoint=path, **kwargs)
    teacher.load()
    return teacher


@cache
def preprocessor():
    return build(vit()).data_preprocessor


def answers(teacher, guide, taps=(HEAD,)):
    features = {HEAD: Feature(guide, None)}
    return teacher(IMAGES, preprocessor(), taps, student_features=features)


def drawn(teacher, count):
    """The samples that the next call takes, from the same generator."""
    preprocessor()  # which draws
    torch.manual_seed(3)
    with teacher._dropping():
        return [
            teacher.forward_unmasked(IMAGES, preprocessor(), [HEAD, LAST])
            for _ in range(count)
        ]


def test_the_most_alike_of_every_image_are_averaged(tmp_path):
    teacher = made(tmp_path, samples=4, keep=2, drop_rate=0.3)
    guide = torch.randn(3, 10)
    seen = drawn(teacher, 4)
    torch.manual_seed(3)
    found = answers(teacher, guide, [HEAD, LAST])
    for image in range(3):
        logits = torch.stack([sample[HEAD].value[image] for sample in seen])
        alike = torch.cosine_similarity(guide[image], logits, dim=1)
        one, other = alike.argsort(descending=True)[:2].tolist()
        share = torch.stack([alike[one], alike[other]]).softmax(0)
        for tap in (HEAD, LAST):
            expected = share[0] * seen[one][tap].value[image]
            expected += share[1] * seen[other][tap].value[image]
            torch.testing.assert_close(found[tap].value[image], expected)
    assert found[LAST].hw == (4, 4)


def test_one_sample_is_one_forward_with_dropout(tmp_path):
    teacher = made(tmp_path, samples=1, keep=1, drop_rate=0.3)
    (seen,) = drawn(teacher, 1)
    guide = torch.randn(3, 10)
    torch.manual_seed(3)
    found = answers(teacher, guide)[HEAD].value
    torch.testing.assert_close(found, seen[HEAD].value)


def test_its_accuracy_is_that_without_dropout(tmp_path):
    teacher, plain = made(tmp_path, drop_rate=0.3), made(tmp_path, Teacher)
    answers(teacher, torch.randn(3, 10))  # what it drops, it does not keep dropping
    torch.testing.assert_close(
        teacher.forward_unmasked(IMAGES, preprocessor(), [HEAD])[HEAD].value,
        plain(IMAGES, preprocessor(), [HEAD])[HEAD].value,
    )


def test_similarity_is_the_cosine_of_all_numbers():
    x = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    y = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(similarity(x, y), torch.tensor([0.8]))
    torch.testing.assert_close(similarity(x, 7 * x), torch.ones(1))


def test_a_distiller_trains_under_it(tmp_path):
    cfg = distiller(tmp_path)
    cfg['teacher'].update(
        type='StochasticTeacher', samples=3, keep=2, drop_rate=0.2, guide='head'
    )
    model = build(cfg)
    data = {'inputs': IMAGES, 'data_samples': samples([0, 1, 2])}
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    assert all(torch.isfinite(value) for value in losses.values())
    sum(losses.values()).backward()
    assert model.student.backbone.layers[0].attn.qkv.weight.grad.any()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({}, 'drops nothing.*give drop_rate=0.1'),
        ({'drop_rate': 1.0}, 'above 0 and below 1, got 1.0'),
        ({'drop_rate': 0.1, 'samples': 2, 'keep': 3}, 'keep=3 of samples=2'),
        ({'drop_rate': 0.1, 'samples': 0}, 'samples must be'),
        ({'drop_rate': 0.1, 'guide': {'student': 'head'}}, 'guide must be a path'),
        ({'drop_rate': 0.1, 'guide': 'haed'}, "did you mean 'head'"),
    ],
)
def test_wrong_arguments_are_told(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        made(tmp_path, **kwargs)


def test_guides_of_other_shapes_are_told(tmp_path):
    teacher = made(tmp_path, drop_rate=0.1)
    with pytest.raises(ValueError, match=r'\(3, 7\).*\(3, 10\).*same classes'):
        answers(teacher, torch.randn(3, 7))
