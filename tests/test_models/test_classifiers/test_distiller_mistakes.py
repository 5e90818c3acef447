"""A distiller without terms, and what one refuses, at construction or in a step."""

import pytest
import torch
from torch import nn

from mmvitkd.registry import MODELS
from tests.helpers import GEN, MIMIC, NKD, build, distiller, vit
from tests.test_models.test_classifiers.distillers import LABELS, made


def test_no_terms_is_plain_training(tmp_path, images):
    """Said by None, also beside a teacher that is not there, and without labels."""
    teacher = {'cfg': 'nowhere.py', 'checkpoint': 'nowhere.pth'}
    alone = {'terms': None, 'teacher': teacher, 'task_weight': 0}
    for more in ({}, {'terms': None}, alone):
        model = build({'type': 'ViTKDDistiller', 'student': vit(16), **more})
        model.init_weights()
        losses = model(images, LABELS, mode='loss')
        assert losses == model.student(images, LABELS, mode='loss')
        assert losses['loss'] > 0


@pytest.mark.parametrize(
    ('terms', 'taught'), [({}, True), ({'terms': {}}, True), ({'terms': {}}, False)]
)
def test_a_distiller_that_distils_nothing_is_refused(tmp_path, terms, taught):
    cfg = distiller(tmp_path)
    del cfg['terms']
    if not taught:
        del cfg['teacher']
    with pytest.raises(ValueError, match='distils nothing: give terms=.* terms=None'):
        build({**cfg, **terms})


@pytest.mark.parametrize(
    ('terms', 'message'),
    [
        ({'m': {**MIMIC, 'wieght': 1}}, r"term 'm'.*unknown: \['wieght'\]"),
        ({'m': {'student': 'head', 'loss': {}}}, r"missing: \['teacher'\]"),
        ({'m': 3}, "term 'm' must be a dict, got 3"),
        ({'m': {**MIMIC, 'teacher': 'big:head'}}, r"names none of the teachers"),
        ({'m': {**MIMIC, 'student': 'backbone.layer.0'}},
         "term 'm', student: tap 'backbone.layer.0'.*did you mean"),
        ({'m': {**MIMIC, 'teacher': 'backbone.layer.0'}}, "term 'm', teacher: tap"),
        ({'m': {**MIMIC, 'student': {'path': 'head', 'tokens': 'clss'}}},
         "term 'm': .*tokens must be one of"),
        ({'m': {**MIMIC, 'loss': {'type': 'ViTKDMimikLoss'}}},
         "term 'm': no class 'ViTKDMimikLoss'.*'ViTKDMimicLoss'"),
        ({'m': {**MIMIC, 'teacher': {'path': 'backbone.layers.0', 'tokens': 'cls'}}},
         "term 'm': .*the same kind of tokens on both sides"),
        ({'m': {**MIMIC, 'neck': None}}, r"'m': .*\(2, 16, 16\).*give the term a neck"),
        ({'m': {**MIMIC, 'neck': {'type': 'LinearProjector', 'in_channels': 9}}},
         "in_channels=9 but the models' width is 16"),
        ({'m': {**GEN, 'loss': {'type': 'ViTKDMimicLoss'}}}, 'compares every token'),
        ({'m': {**GEN, 'neck': {'type': 'ConvGenerativeProjector', 'mask_ratio': 1}}},
         r"term 'm': .*\[0, 1\), got 1"),
        ({'m': {**GEN, 'student': {'path': 'backbone.ln1', 'tokens': 'all'}}},
         'does not match 17 patch tokens'),
    ],
)  # fmt: skip
def test_bad_terms_are_found_at_construction(tmp_path, terms, message):
    with pytest.raises(ValueError, match=message):
        build(distiller(tmp_path, terms=terms))


class OddLoss(nn.Module):
    """What one's own loss may give by mistake."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, student, teacher, target=None, mask=None):
        return {
            'one an image': (student - teacher).square().flatten(1).sum(1),
            'float': (student - teacher).square().mean().item(),
            'detached': (student.detach() - teacher).square().mean(),
            'neck alone': (self.scale(student) - teacher).square().mean(),
        }[self.answer]

    def scale(self, student):
        return student.detach() * torch.ones(1, requires_grad=True)


@pytest.mark.parametrize(
    ('answer', 'message'),
    [
        ('one an image', r"term 'm': OddLoss must return .* got Tensor \(2,\)"),
        ('float', "term 'm': OddLoss must return .* got float"),
        ('detached', "term 'm': OddLoss does not depend on the student"),
        ('neck alone', "term 'm': OddLoss does not depend on the student"),
    ],
)
def test_a_loss_that_would_teach_nothing_is_found_at_construction(
    tmp_path, answer, message
):
    MODELS.register_module(module=OddLoss)
    try:
        loss = {'type': 'OddLoss', 'answer': answer}
        with pytest.raises(ValueError, match=message):
            build(distiller(tmp_path, terms={'m': {**MIMIC, 'loss': loss}}))
    finally:
        MODELS._module_dict.pop('OddLoss')


def test_terms_that_are_no_dict(tmp_path):
    """As --cfg-options hands over model.terms="{...}"."""
    with pytest.raises(ValueError, match="must be a dict of terms by name, got '{a}'"):
        build(distiller(tmp_path, terms='{a}'))


def test_class_counts_that_differ(tmp_path):
    with pytest.raises(
        ValueError, match="'nkd': the student has 7 classes and the teac"
    ):
        build(distiller(tmp_path, student=vit(16, classes=7)))


def test_features_alone_allow_other_classes(tmp_path, images):
    terms = {'mimic0': MIMIC, 'gen': GEN}
    model = made(tmp_path, student=vit(16, classes=7), terms=terms)
    assert sum(model(images, LABELS, mode='loss').values()).isfinite()


def test_terms_without_a_teacher(tmp_path):
    with pytest.raises(ValueError, match=r"\['nkd'\] need a teacher"):
        build(distiller(tmp_path, teacher=None, terms={'nkd': NKD}))
    one = distiller(tmp_path)['teacher']
    with pytest.raises(ValueError, match='not both'):
        build(distiller(tmp_path, teachers={'a': one}))
    with pytest.raises(ValueError, match="write 'name:path'"):
        build(distiller(tmp_path, teacher=None, teachers={'a': one, 'b': one}))


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_loss_that_is_not_finite_is_named(tmp_path, images, bad):
    model = made(tmp_path)
    with torch.no_grad():
        model.terms['gen'].neck.mask_token.fill_(bad)
    with pytest.raises(
        FloatingPointError, match=r"not finite: \{'loss_gen': (nan|inf)"
    ):
        model(images, LABELS, mode='loss')


def poison(module: nn.Module) -> None:
    with torch.no_grad():
        next(module.parameters()).fill_(float('nan'))


def test_a_loss_that_is_not_finite_names_the_side(tmp_path, images):
    """Advice on the learning rate is for the student alone."""
    found = {}
    for side in ('teacher', 'student', 'images', 'term'):
        model = made(tmp_path)
        model.load_teachers()
        inputs = images
        if side == 'teacher':
            poison(model.teachers['teacher'].model.backbone.layers[0])
        elif side == 'student':
            poison(model.student.backbone.layers[0])
        elif side == 'images':
            inputs = images * float('inf')
        else:
            poison(model.terms['mimic0'])
        with pytest.raises(FloatingPointError) as error:
            model(inputs, LABELS, mode='loss')
        found[side] = str(error.value)
    assert "the features of teacher 'teacher' at backbone.layers.0" in found['teacher']
    assert 'learning rate is not to blame' in found['teacher']
    assert 'the features of the student at backbone.layers.0' in found['student']
    assert 'lower the learning rate' in found['student']
    assert 'look at the images first' in found['images']
    assert 'of teachers and student are finite' in found['term']
