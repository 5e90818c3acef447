"""Students of other sizes and channels than 224 pixels in colour."""

import pytest
import torch
from mmengine.config import Config

from mmvitkd.engine.training import set_input_size
from mmvitkd.models.classifiers.image_shape import find_image_shape, natural_input_size
from tests.helpers import GEN, MIMIC, NKD, build, distiller, samples, vit
from tests.test_models.test_classifiers.test_grids import TINY, hugging_face

NOTHING = {'type': 'ClsDataPreprocessor'}
TINYVIT = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'TinyViT',
        'arch': {'channels': [8] * 4, 'num_heads': [1] * 4, 'depths': [1] * 4},
        'img_size': (128, 128),
        'window_size': [4, 4, 8, 4],
    },
    'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 8},
}
LEVIT = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'LeViT',
        'arch': '128s',
        'img_size': 160,
    },
    'neck': {'type': 'GlobalAveragePooling'},
    'head': {
        'type': 'LeViTClsHead',
        'num_classes': 10,
        'in_channels': 384,
        'distillation': False,
    },
}


def timm_student(name: str, **settings) -> dict:
    cfg = {'type': 'TimmClassifier', 'model_name': name, 'num_classes': 10}
    return {**cfg, **settings}


COATNET = timm_student(
    'coatnet_0_rw_224',
    img_size=160,
    depths=(1, 1, 1, 1),
    embed_dim=(32, 32, 32, 32),
    stem_width=(8, 8),
)
EFFICIENT = timm_student(
    'efficientformerv2_s0', img_size=160, depths=(1, 1, 1, 1), embed_dims=(8, 8, 8, 8)
)


def term(path: str) -> dict:
    loss = {'type': 'ViTKDMimicLoss', 'reduction': 'mean'}
    return {**MIMIC, 'student': path, 'loss': loss}


def trained(model, channels: int = 3) -> None:
    """A step of training changes the first layer."""
    model.init_weights()
    _, height, width = model.image_shape
    images = torch.randn(2, channels, height, width)
    losses = model(images, samples([0, 1]), mode='loss')
    sum(losses.values()).backward()
    assert next(model.student.parameters()).grad.abs().sum() > 0


@pytest.mark.parametrize(
    'student, path, size',
    [
        (TINYVIT, 'backbone.stages.2', 128),
        (LEVIT, 'backbone.stages.1', 160),
        (COATNET, 'model.stages.2', 160),
        (EFFICIENT, 'model.stages.2', 160),
    ],
    ids=['TinyViT', 'LeViT', 'CoAtNet', 'EfficientFormerV2'],
)  # fmt: skip
def test_students_of_another_size(tmp_path, student, path, size):
    model = build(distiller(tmp_path, student=student, terms={'t': term(path)}))
    assert model.image_shape == (3, size, size)
    trained(model)


def test_a_student_of_one_channel(tmp_path):
    """The teacher of three gets grey images, normalised by its own mean and std."""
    preprocessor = {'type': 'ClsDataPreprocessor', 'mean': [33.0], 'std': [78.0]}
    student = vit(in_channels=1)
    model = build(distiller(tmp_path, student=student, data_preprocessor=preprocessor))
    assert model.image_shape == (1, 32, 32)
    trained(model, 1)
    teacher = model.teachers['teacher']
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(
        teacher.prepare(images, model.data_preprocessor), images.expand(-1, 3, -1, -1)
    )
    teacher.preprocessor = build(
        {'type': 'ClsDataPreprocessor', 'mean': [0.0, 1.0, 2.0], 'std': [2.0] * 3}
    )
    pixels = images * 78 + 33
    expected = (pixels - torch.arange(3.0).view(3, 1, 1)) / 2
    found = teacher.prepare(images, model.data_preprocessor)
    torch.testing.assert_close(found, expected)


def test_a_teacher_of_one_channel_is_refused(tmp_path):
    cfg = distiller(
        tmp_path, teacher={'cfg': vit(24, in_channels=1), 'checkpoint': 'x'}
    )
    with pytest.raises(ValueError, match='images of 1 channels and the student of 3'):
        build(cfg)


def test_an_explicit_size_wins(tmp_path):
    backbone = {'type': 'ResNet', 'depth': 18}
    student = {
        'type': 'ImageClassifier',
        'backbone': backbone,
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 512},
    }
    cfg = distiller(tmp_path, student=student, terms={'nkd': NKD})
    assert build(cfg).image_shape == (3, 224, 224)
    assert build({**cfg, 'input_size': [64, 32]}).image_shape == (3, 64, 32)
    assert build({**cfg, 'input_size': 64}).image_shape == (3, 64, 64)


def test_the_pipelines_size_is_told_in_training(tmp_path):
    steps = [{'type': 'RandomResizedCrop', 'scale': 64}, {'type': 'PackInputs'}]
    loader = {'dataset': {'type': 'CustomDataset', 'pipeline': steps}}
    model = distiller(tmp_path, student=vit(img_size=64), terms={'gen': GEN})
    cfg = Config({'model': model, 'train_dataloader': loader})
    set_input_size(cfg)
    assert cfg.model.input_size == (64, 64)
    cfg.model.input_size = 32
    set_input_size(cfg)
    assert cfg.model.input_size == 32
    plain = Config({'model': vit(), 'train_dataloader': loader})
    set_input_size(plain)
    assert 'input_size' not in plain.model


def test_what_fits_no_size_is_told(tmp_path):
    student = build({**vit(), 'data_preprocessor': NOTHING})
    student.backbone.layers[1].attn.qkv = torch.nn.Linear(7, 7)
    with pytest.raises(
        ValueError, match=r'of \(3, 32, 32\) .*RuntimeError.*input_size='
    ):
        find_image_shape(student)
    with pytest.raises(ValueError, match=r'blank image of \(3, 33, 33\)'):
        find_image_shape(student, 33)


@pytest.mark.parametrize('name', ['CLIP', 'Siglip'])
def test_hugging_faces_models_of_two_towers_tell_their_size(name):
    assert natural_input_size(hugging_face(name, vision_config=TINY)()) == (32, 32)
