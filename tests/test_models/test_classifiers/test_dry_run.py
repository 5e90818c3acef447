"""A tap from which no gradient gets into the student is refused at construction."""

import pytest
import torch

from mmvitkd.models.classifiers.dry_run import probe_student, require_gradient
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.models.classifiers.term import TermSpec
from tests.helpers import NKD, build, distiller, samples
from tests.test_models.test_classifiers.test_tap import SWIN

LABELS = samples([0, 1])


def resnet(**backbone):
    return {
        'type': 'ImageClassifier',
        'backbone': {'type': 'ResNet', 'depth': 18, **backbone},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 512},
    }


CONVNEXT = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'ConvNeXt',
        'arch': {'depths': [1, 1, 1, 1], 'channels': [8, 8, 8, 8]},
        'with_cp': True,
    },
    'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 8},
}
SWIN_CP = {**SWIN, 'backbone': {**SWIN['backbone'], 'with_cp': True}}


def term(path: str) -> dict:
    return {
        'student': path,
        'teacher': 'backbone.layers.2',
        'neck': {'type': 'LinearProjector'},
        'loss': {'type': 'ViTKDMimicLoss', 'reduction': 'mean'},
    }


def made(tmp_path, student, path):
    torch.manual_seed(0)
    # a student's map is of any grid: the teacher's tokens are resampled to it
    model = build(distiller(tmp_path, student=student, terms={'t': term(path)}))
    model.init_weights()
    return model


@pytest.mark.parametrize(
    'student, path',
    [
        (resnet(with_cp=True), 'backbone.layer2.0.conv1'),
        (CONVNEXT, 'backbone.stages.2.0.depthwise_conv'),
        (SWIN_CP, 'backbone.stages.0.blocks.0.attn'),
    ],
    ids=['ResNet', 'ConvNeXt', 'Swin'],
)
def test_a_tap_inside_a_reentrant_checkpoint(tmp_path, student, path):
    with pytest.raises(
        ValueError, match=r"term 't', student.*with_cp=True.*Activation"
    ):
        made(tmp_path, student, path)


@pytest.mark.parametrize(
    'student, path',
    [
        (resnet(with_cp=True), 'backbone.layer2.0'),
        (CONVNEXT, 'backbone.stages.2'),
        (SWIN_CP, 'backbone.stages.0'),
    ],
    ids=['ResNet', 'ConvNeXt', 'Swin'],
)
def test_a_tap_around_it_teaches_what_lies_below(tmp_path, student, path):
    model = made(tmp_path, {**student}, path)
    images = torch.randn(2, 3, 64, 64)
    model(images, LABELS, mode='loss')['loss_t'].backward()
    first = next(model.student.parameters())
    assert first.grad.abs().sum() > 0


def test_a_frozen_part_is_told(tmp_path):
    with pytest.raises(ValueError, match="'backbone.layer1'.*frozen or detached"):
        made(tmp_path, resnet(frozen_stages=1), 'backbone.layer1')
    made(tmp_path, resnet(frozen_stages=1), 'backbone.layer2')


def test_the_dry_run_changes_nothing_in_the_student(tmp_path):
    """Also not the running statistics of its norms, or its mode."""
    model = made(tmp_path, resnet(), 'backbone.layer2')
    torch.manual_seed(0)
    plain = build(resnet())
    plain.init_weights()
    assert model.student.training == plain.training
    weights = plain.state_dict()
    for name, value in model.student.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_huggingfaces_checkpointing_counts_in_training_alone(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, image_size=32, patch_size=8, num_labels=10,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(tmp_path / 'hf')
    student = {
        'type': 'HuggingFaceClassifier',
        'model_name': str(tmp_path / 'hf'),
        'with_cp': True,
    }
    path = 'model.vit.encoder.layer.1.attention.output'
    block = build(student).model.vit.encoder.layer[0]
    if block._gradient_checkpointing_func.keywords['use_reentrant']:
        with pytest.raises(ValueError, match='checkpointed'):
            made(tmp_path, student, path)
    else:  # later versions of the library
        made(tmp_path, student, path)


def test_logits_behind_a_checkpoint_are_fine(tmp_path):
    model = build(distiller(tmp_path, student=resnet(with_cp=True), terms={'n': NKD}))
    images = torch.randn(2, 3, 64, 64)
    model.init_weights()
    model(images, LABELS, mode='loss')['loss_n'].backward()
    assert next(model.student.parameters()).grad.abs().sum() > 0


class Normed(torch.nn.Module):
    """Two blocks, a norm with running statistics between them."""

    gradient_checkpointing = False

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 2, 2)
        self.norm = torch.nn.BatchNorm2d(4)
        self.second = torch.nn.Conv2d(4, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.norm(self.first(x)))


def spec(path: str) -> TermSpec:
    return TermSpec('t', Tap(path), 'teacher', Tap('x'), None, {})


@pytest.mark.parametrize('training', [True, False])
def test_looking_at_a_student_leaves_it_as_it_was(training):
    student = Normed().train(training)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    images = 3 + torch.randn(4, 3, 8, 8)
    require_gradient(student, images, [spec('first'), spec('second')])
    seen = probe_student(student, images, [Tap('norm')])[Tap('norm')]
    assert student.training == student.norm.training == training
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in student.parameters())
    expected = student.first(images) / (1 + 1e-5) ** 0.5  # as in eval mode
    assert not seen.value.requires_grad
    torch.testing.assert_close(seen.value, expected.detach().flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    ('checkpointing', 'reason'),
    [
        (False, 'Is what lies below it frozen or detached'),
        (True, 'gradient_checkpointing=True'),
    ],
)
def test_the_term_without_a_gradient_is_named_with_the_reason(checkpointing, reason):
    student = Normed()
    student.first.requires_grad_(False)
    student.gradient_checkpointing = checkpointing
    images = torch.randn(2, 3, 8, 8)
    require_gradient(student, images, [spec('norm')])
    with pytest.raises(
        ValueError, match=rf"term 't', student: .* the tap 'first' .*{reason}"
    ):
        require_gradient(student, images, [spec('norm'), spec('first')])
