"""A second look at a part of the batch, with patches hidden."""

import pytest
import torch

from mmvitkd.models import MaskedView
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import MIMIC, build, distiller, samples, vit

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LAST = 'backbone.ln1'
TERM = {
    'student': LAST,
    'teacher': LAST,
    'view': {'type': 'MaskedView'},
    'neck': {'type': 'NormProjector'},
    'loss': {'type': 'ViTKDGenLoss', 'reduction': 'mean', 'loss_weight': 1.0},
}


def last_of(student, images):
    """What leaves the last norm."""
    with record(student, [Tap(LAST)]) as seen:
        student(images)
    return seen[Tap(LAST)].value


@torch.no_grad()
def test_half_of_the_patches_of_half_of_the_images():
    student, view = build(vit()).eval(), MaskedView(16)
    view.mask_token.fill_(3.0)
    seen = {}
    student.backbone.patch_embed.register_forward_hook(
        lambda _, __, out: seen.update(plain=out[0].clone())
    )
    handle = student.backbone.layers[0].register_forward_pre_hook(
        lambda _, args: seen.update(first=args[0].clone())
    )
    feature, mask, places = view(student, IMAGES, Tap(LAST))
    handle.remove()
    assert places == [0, 1]
    assert mask.shape == (2, 16) and mask.sum(1).tolist() == [8, 8]
    assert feature.value.shape == (2, 16, 16)
    tokens = seen['first'][:, 1:] - student.backbone.pos_embed[:, 1:]
    assert torch.allclose(tokens[mask], torch.tensor(3.0), atol=1e-5)
    torch.testing.assert_close(tokens[~mask], seen['plain'][~mask])
    # the student is as it was
    plain = last_of(student, IMAGES[:2])
    assert not torch.allclose(plain, feature.value)
    assert torch.equal(plain, last_of(student, IMAGES[:2]))


@torch.no_grad()
def test_without_hidden_patches_it_is_the_first_look():
    student, view = build(vit()).eval(), MaskedView(16, mask_ratio=0.0, image_ratio=1.0)
    feature, mask, places = view(student, IMAGES, Tap(LAST))
    assert places == [0, 1, 2, 3] and not mask.any()
    assert torch.equal(feature.value, last_of(student, IMAGES))


def test_the_term_is_the_mean_over_hidden_patches(tmp_path):
    """By hand, under the teacher's tokens of whole images."""
    model = build(distiller(tmp_path, terms={'masked': TERM}, task_weight=0.0)).eval()
    model.load_teachers()
    torch.manual_seed(3)
    loss = model.loss(IMAGES, samples([0, 1, 2, 3]))['loss_masked']
    torch.manual_seed(3)
    term, tap = model.terms['masked'], Tap(LAST)
    with torch.no_grad():
        feature, mask, places = term.view(model.student, IMAGES, tap)
        with record(model.teachers['teacher'].model, [tap]) as seen:
            model.teachers['teacher'].model(IMAGES)
        errors = (term.neck(feature.value) - seen[tap].value[places]).square().mean(-1)
    torch.testing.assert_close(loss.detach(), errors[mask].mean())
    loss.backward()
    assert term.view.mask_token.grad.any()
    assert model.student.backbone.patch_embed.projection.weight.grad.any()


def test_its_mask_token_is_in_checkpoints_and_its_weights_in_no_student(tmp_path):
    model = build(distiller(tmp_path, terms={'masked': TERM}))
    assert 'terms.masked.view.mask_token' in model.state_dict()
    assert not any('mask' in name for name in model.student.state_dict())


@pytest.mark.parametrize('ratio', [0.0, -1, 1.5])
def test_a_share_of_the_batch(ratio):
    with pytest.raises(ValueError, match='image_ratio must be'):
        MaskedView(16, image_ratio=ratio)


def test_students_without_patches_are_refused_at_construction(tmp_path):
    student = {
        'type': 'ImageClassifier',
        'backbone': {'type': 'ResNet', 'depth': 18, 'stem_channels': 8,
                     'base_channels': 8},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 64},
    }  # fmt: skip
    terms = {'t': {**TERM, 'student': 'backbone.layer4'}}
    with pytest.raises(ValueError, match="'t': MaskedView: .* has no patch embedding"):
        build(distiller(tmp_path, student=student, terms=terms))


def test_another_width_than_the_taps(tmp_path):
    view = {'type': 'MaskedView', 'in_channels': 12}
    terms = {'t': {**TERM, 'view': view}}
    with pytest.raises(ValueError, match=r'yields \(1, 16, 16\), but must yield'):
        build(distiller(tmp_path, terms=terms))


def test_a_loss_that_takes_no_mask(tmp_path):
    terms = {'t': {**TERM, 'loss': MIMIC['loss']}}
    with pytest.raises(ValueError, match='ViTKDMimicLoss compares every token'):
        build(distiller(tmp_path, terms=terms))


def test_a_view_is_a_dict(tmp_path):
    terms = {'t': {**TERM, 'view': 'MaskedView'}}
    with pytest.raises(ValueError, match="term 't': view must be a dict"):
        build(distiller(tmp_path, terms=terms))
