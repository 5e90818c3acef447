from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmvitkd.models import ViTKDDistiller
from mmvitkd.models.classifiers.teacher_dropping import drop_teachers
from tests.helpers import NKD, build, distiller, samples, save_weights, vit

# teacher a is the furthest for the first image, b for the second
LOSSES = {
    'a_token': torch.tensor([4.0, 1.0]),
    'a_patch': torch.tensor([2.0, 1.0]),
    'b_token': torch.tensor([1.0, 5.0]),
}
TEACHERS = {'a_token': 'a', 'a_patch': 'a', 'b_token': 'b'}


def test_nobody_is_dropped_at_probability_0():
    """Every teacher of every image counts 1/4."""
    found = drop_teachers(LOSSES, TEACHERS, 0.0)
    assert {k: v.item() for k, v in found.items()} == {
        'a_token': (4 + 1) / 2 / 4,
        'a_patch': (2 + 1) / 2 / 4,
        'b_token': (1 + 5) / 4,
    }


def test_the_furthest_teacher_always_stays():
    """At a probability of nearly 1 it alone: 1/2 for each image."""
    found = drop_teachers(LOSSES, TEACHERS, 1 - 1e-9)
    assert {k: v.item() for k, v in found.items()} == {
        'a_token': 4 / 2 / 2,
        'a_patch': 2 / 2 / 2,
        'b_token': 5 / 2,
    }


def test_half_of_the_others_stay():
    torch.manual_seed(0)
    losses = {'near': torch.zeros(4000), 'far': torch.ones(4000)}
    losses['near'].requires_grad_()
    found = drop_teachers(losses, {'near': 'one', 'far': 'other'}, 0.5)
    sum(found.values()).backward()
    shares = losses['near'].grad
    kept = int((shares > 0).sum())
    assert 1900 < kept < 2100
    assert shares.max() == pytest.approx(1 / (4000 + kept))


def test_losses_of_other_images_are_refused():
    losses = {**LOSSES, 'b_token': torch.tensor([1.0])}
    with pytest.raises(ValueError, match="same images.*'a_token': 2.*'b_token': 1"):
        drop_teachers(losses, TEACHERS, 0.5)


CLASS_TOKEN = {'path': 'backbone.ln1', 'tokens': 'cls'}
UNIC = {
    'one_token': {
        'student': CLASS_TOKEN,
        'teacher': {**CLASS_TOKEN, 'path': 'one:backbone.ln1'},
    },
    'one_patch': {'student': 'backbone.ln1', 'teacher': 'one:backbone.ln1'},
    'other_patch': {'student': 'backbone.ln1', 'teacher': 'other:backbone.ln1'},
}


def unic(folder: Path, dropping: float, reduction: str = 'none', **loss: Any) -> dict:
    """A student without a head under two teachers."""
    loss = {'type': 'UNICLoss', 'reduction': reduction, **loss}
    neck = {'type': 'MLPProjector'}
    cfg = distiller(
        folder,
        student={**vit(16), 'head': None},
        teachers={
            name: {
                'cfg': vit(width),
                'checkpoint': str(save_weights(vit(width), folder / f'{name}.pth', i)),
            }
            for i, (name, width) in enumerate({'one': 24, 'other': 32}.items())
        },
        terms={k: {**term, 'neck': neck, 'loss': loss} for k, term in UNIC.items()},
        task_weight=0,
        teacher_dropping=dropping,
    )
    cfg.pop('teacher')
    return cfg


def test_a_batch_learns_from_the_furthest_teacher_of_each_image(tmp_path):
    """As each image by itself says which one that is, at a probability of nearly 1."""
    torch.manual_seed(0)
    model: ViTKDDistiller = build(unic(tmp_path, 1 - 1e-9, momentum=0.0))
    images = torch.randn(6, 3, 32, 32)
    batch = sum(model.loss(images, None).values())
    model.teacher_dropping = 0.0
    alone = [model.loss(image[None], None) for image in images]
    one = [(x['loss_one_token'] + x['loss_one_patch']).item() / 2 for x in alone]
    other = [x['loss_other_patch'].item() for x in alone]
    furthest = [max(pair) for pair in zip(one, other, strict=True)]
    assert 0 < sum(a > b for a, b in zip(one, other, strict=True)) < 6
    assert batch.item() == pytest.approx(sum(furthest) / 6, rel=1e-5)


def test_the_student_learns_from_both(tmp_path):
    """With statistics of the first batch, by each loss of its own image."""
    torch.manual_seed(0)
    model = build(unic(tmp_path, 0.5, momentum=1.0))
    model.init_weights()
    optimiser = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=5e-3))
    data = {'inputs': torch.rand(8, 3, 32, 32), 'data_samples': samples([0] * 8)}
    log = []
    for _ in range(40):
        parts = model.train_step(data, optimiser)
        log.append({name: part.item() for name, part in parts.items()})
        for term in model.terms.values():
            term.loss.momentum = 0.0
    assert all(set(x) == {'loss', *(f'loss_{name}' for name in UNIC)} for x in log)
    # an image's furthest teacher always stays
    assert log[-1]['loss'] < 0.8 * log[1]['loss']
    assert all(any(x[f'loss_{name}'] for x in log) for name in UNIC)
    for name in UNIC:
        center = model.state_dict()[f'terms.{name}.loss.center']
        assert center.shape == (32 if 'other' in name else 24,)
        assert center.any()
        assert center.isfinite().all()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'dropping': 1}, 'must be at least 0 and below 1, got 1'),
        ({'dropping': '0.5'}, "must be a number, got the text '0.5'"),
        ({'dropping': 0.5, 'reduction': None}, r'=0.5 needs two teachers.*got \[\]'),
    ],
)
def test_dropping_without_a_meaning_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=f'teacher_dropping ?{message}'):
        build(unic(tmp_path, **changes))


def test_one_teacher_is_not_dropped(tmp_path):
    cfg = unic(tmp_path, 0.5)
    del cfg['teachers']['other'], cfg['terms']['other_patch']
    with pytest.raises(ValueError, match="two teachers.*got .'one_token', 'one_patch'"):
        build(cfg)


def test_a_term_that_sees_some_images_is_refused(tmp_path):
    cfg = unic(tmp_path, 0.5)
    loss = {'type': 'ViTKDGenLoss', 'reduction': 'none'}
    cfg['terms']['one_patch'].update(view={'type': 'MaskedView'}, loss=loss)
    with pytest.raises(
        ValueError, match=r"terms \['one_patch'\] see some of the images"
    ):
        build(cfg)


def test_any_loss_of_each_image_is_dropped(tmp_path):
    """Logits' as well, of a student with a head, beside a term that has the mean."""
    nkd = {**NKD, 'loss': {'type': 'NKDLoss', 'reduction': 'none'}}
    cfg = unic(tmp_path, 0.5)
    cfg['student'] = vit(16)
    terms = {f'{t}_nkd': {**nkd, 'teacher': f'{t}:head'} for t in ('one', 'other')}
    cfg['terms'] = {**terms, 'kd': {**NKD, 'teacher': 'one:head'}}
    losses = build(cfg).loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())


class OfEachChannel(nn.Module):
    """A loss that takes channels for images."""

    per_image = True

    def forward(
        self, student: Tensor, teacher: Tensor, target: Any = None, mask: Any = None
    ) -> Tensor:
        return (student - teacher).square().mean((0, 1))


def test_another_number_than_one_of_each_image_is_refused(tmp_path):
    cfg = unic(tmp_path, 0.0)
    cfg['terms']['one_patch']['loss'] = {'type': OfEachChannel}
    with pytest.raises(
        ValueError, match=r"'one_patch': OfEachChannel.*each of 2 .*\(24"
    ):
        build(cfg)
