"""Pixels changed until a teacher sees a class in them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmpretrain.models import ClsDataPreprocessor

from mmvitkd.synthesis.inversion import Inversion, Recipe, batch_norms
from mmvitkd.synthesis.synthesise import generator_of, plan_labels
from mmvitkd.synthesis.terms import mean_norm, statistics_distance, total_variation
from tests.helpers import build, vit

RECIPE = Recipe(
    size=(16, 24),
    coarse_steps=3,
    steps=5,
    lr=0.2,
    jitter=2,
    flip=True,
    statistics=0.01,
    variation=1e-4,
    norm=1e-5,
    divergence=1.0,
    easy=0.0,
    competition=0.2,
)
PREPROCESSORS = {
    'rgb': {'mean': [120.0, 110.0, 100.0], 'std': [60.0, 50.0, 40.0], 'to_rgb': True},
    'bgr': {'mean': [100.0, 110.0, 120.0], 'std': [40.0, 50.0, 60.0], 'to_rgb': False},
    'from 0 to 255': {'to_rgb': True},
}
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture(scope='module')
def teacher():
    """A small ResNet whose BatchNorms have seen some batches."""
    torch.manual_seed(0)
    model = build(
        {
            'type': 'ImageClassifier',
            'backbone': {
                'type': 'ResNet',
                'depth': 18,
                'stem_channels': 8,
                'base_channels': 8,
            },
            'neck': {'type': 'GlobalAveragePooling'},
            'head': {'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': 64},
        }
    )
    model.init_weights()
    torch.nn.init.normal_(model.head.fc.weight)
    model.train()
    for _ in range(5):
        model(torch.randn(8, 3, 32, 32))
    return model.eval().requires_grad_(False)


def inversion(teacher, preprocessor='rgb', student=None, **changes):
    processor = ClsDataPreprocessor(**PREPROCESSORS[preprocessor])
    return Inversion(teacher, processor, replace(RECIPE, **changes), student)


def images(seed=1):
    return torch.randn(6, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def test_every_batch_norm_counts_the_first_ten_times(teacher):
    """The sum of all terms, recomputed from what the modules take."""
    x, taken, features = images(), [], []
    norms = batch_norms(teacher)
    assert len(norms) == 20
    handles = [
        norm.register_forward_pre_hook(lambda m, args: taken.append((m, args[0])))
        for norm in norms
    ]
    handles.append(
        teacher.head.fc.register_forward_pre_hook(lambda m, a: features.append(a[0]))
    )
    logits = teacher(x)
    for handle in handles:
        handle.remove()
    far = [statistics_distance(t, m.running_mean, m.running_var) for m, t in taken]
    unit = torch.nn.functional.normalize(features[0], dim=1)
    cosines = [unit[i] @ unit[i + 3] for i in range(3)]  # one pair of each class
    expected = (
        torch.nn.functional.cross_entropy(logits, LABELS)
        + 1e-4 * total_variation(x)
        + 1e-5 * mean_norm(x)
        + 0.01 * (10 * far[0] + sum(far[1:]))
        + sum(cosines) / 3
    )
    torch.testing.assert_close(inversion(teacher).loss(x, LABELS), expected)


def test_the_teacher_is_left_as_it_was(teacher):
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    inversion(teacher).make(LABELS, generator_of(0, 0))
    assert all(torch.equal(teacher.state_dict()[k], v) for k, v in before.items())
    assert not any(m._forward_pre_hooks for m in teacher.modules())


@pytest.mark.parametrize('preprocessor', PREPROCESSORS)
def test_pixels_are_those_that_the_teacher_was_asked_about(teacher, preprocessor):
    """Read as training reads them, BGR, they are what the inversion had."""
    ours = inversion(teacher, preprocessor)
    pixels = ours.make(LABELS, generator_of(0, 0))
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (6, 3, 16, 24))
    processor = ClsDataPreprocessor(**PREPROCESSORS[preprocessor])
    read = list(pixels.flip(1))
    asked = processor({'inputs': read})['inputs']
    torch.testing.assert_close(teacher(asked), ours.ask(ours.normalise(pixels)))


@pytest.mark.parametrize('coarse_steps', [0, 10])
def test_the_teacher_sees_the_classes_in_the_end(teacher, coarse_steps):
    plain = {'jitter': 0, 'flip': False, 'statistics': 1e-4, 'divergence': 0.0}
    losses = []
    for steps in (1, 30):
        stages = {'coarse_steps': coarse_steps, 'steps': steps}
        ours = inversion(teacher, **stages, **plain)
        x = ours.normalise(ours.make(LABELS, generator_of(0, 0)))
        losses.append(ours.loss(x, LABELS).item())
    assert losses[1] < losses[0]
    assert torch.equal(ours.ask(x).argmax(1), LABELS)


def test_images_of_a_class_differ_more_when_they_are_kept_apart(teacher):
    def likeness(divergence):
        ours = inversion(teacher, steps=40, divergence=divergence)
        pixels = ours.make(LABELS, generator_of(0, 0))
        features = teacher.extract_feat(ours.normalise(pixels))[-1]
        return torch.cosine_similarity(features[:3], features[3:]).mean()

    assert likeness(5.0) < likeness(0.0)


@pytest.mark.parametrize('preprocessor', PREPROCESSORS)
def test_a_student_is_asked_about_what_the_teacher_sees(teacher, preprocessor):
    """Where it says what the teacher says, the whole weight is added."""
    x, seen = images(), []
    changes = {'preprocessor': preprocessor, 'divergence': 0.0}
    alone = inversion(teacher, **changes).loss(x, LABELS)
    handle = teacher.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    both = inversion(teacher, student=teacher, **changes).loss(x, LABELS)
    handle.remove()
    assert (both - alone).item() == pytest.approx(0.2, abs=1e-3)
    _, asked, of_student = seen  # the first one is blank
    assert torch.equal(asked, of_student)


def test_a_teacher_without_batch_norm_is_refused():
    with pytest.raises(
        ValueError, match='VisionTransformer.* has no BatchNorm.*ResNet'
    ):
        batch_norms(build(vit(16)))


@pytest.mark.parametrize(('count', 'per_class'), [(10, 4), (57, 4), (60, 1), (61, 100)])
def test_labels_are_balanced(count, per_class):
    labels = plan_labels(count, 10, per_class, 0)
    numbers = np.bincount(labels, minlength=10)
    assert numbers.sum() == count
    assert numbers.max() - numbers.min() <= 1
    assert np.array_equal(labels, plan_labels(count, 10, per_class, 0))


def test_a_batch_has_images_of_many_classes_and_some_of_each():
    labels = plan_labels(400, 10, 4, 0)
    assert (labels.reshape(-1, 4) == labels[::4, None]).all()
    assert len(set(labels[:40])) == 10
    assert not np.array_equal(labels[:40], labels[40:80])  # drawn anew
    assert not np.array_equal(labels, plan_labels(400, 10, 4, 1))
