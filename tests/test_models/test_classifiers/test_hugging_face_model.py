"""Models of Hugging Face without a class for classification."""

import pytest
import torch
import transformers

from mmvitkd.models import HuggingFaceModel
from mmvitkd.models.classifiers.classes import count_classes
from tests.helpers import MIMIC, build, distiller, samples
from tests.test_models.test_classifiers.test_grids import TINY


def saved(tmp_path, name: str, **settings) -> str:
    config = getattr(transformers, f'{name}Config')(**settings)
    model = getattr(transformers, f'{name}Model')(config)
    model.save_pretrained(tmp_path / name)
    return str(tmp_path / name)


def test_dinov3_teaches_features(tmp_path):
    """Five extra tokens, rotary positions, and no head."""
    folder = saved(tmp_path, 'DINOv3ViT', **TINY, num_register_tokens=4)
    cfg = {'type': 'HuggingFaceModel', 'model_name': folder, 'pretrained': True}
    block = {**MIMIC, 'teacher': 'model.layer.0'}
    norm = {**MIMIC, 'teacher': 'model.norm'}
    terms = {'block': block, 'norm': norm}
    model = build(distiller(tmp_path, teacher={'cfg': cfg}, terms=terms))
    teacher = model.probe_features['block'][2]
    assert (teacher.hw, teacher.value.shape[1:]) == ((4, 4), (16, 16))
    model.init_weights()
    losses = model(torch.randn(2, 3, 32, 32), samples([0, 1]), mode='loss')
    assert losses['loss_norm'].isfinite()
    assert count_classes(model.teachers['teacher'].model) == 0


def test_its_weights_are_the_librarys(tmp_path):
    folder = saved(tmp_path, 'DINOv3ViT', **TINY)
    model = HuggingFaceModel(folder, pretrained=True).eval()
    plain = transformers.AutoModel.from_pretrained(folder).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), plain(images).last_hidden_state)
    assert set(model.state_dict()) == set(plain.state_dict())


@pytest.mark.parametrize('name', ['CLIPVision', 'SiglipVision'])
@pytest.mark.parametrize('pretrained', [True, False])
def test_the_image_side_of_two_towers(tmp_path, name, pretrained):
    folder = saved(tmp_path, name, **TINY)
    model = HuggingFaceModel(folder, pretrained, auto_class=f'{name}Model')
    assert model(torch.randn(2, 3, 32, 32)).shape[::2] == (2, 16)


def test_an_unknown_class_and_a_student(tmp_path):
    folder = saved(tmp_path, 'DINOv3ViT', **TINY)
    with pytest.raises(ValueError, match="no class 'AutoModle'"):
        HuggingFaceModel(folder, auto_class='AutoModle')
    student = {'type': 'HuggingFaceModel', 'model_name': folder}
    terms = {'t': {**MIMIC, 'student': 'model.layer.0'}}
    with pytest.raises(ValueError, match='has no head that labels could teach'):
        build(distiller(tmp_path, student=student, terms=terms))
    with pytest.raises(ValueError, match='no classes to train'):
        HuggingFaceModel(folder)(torch.randn(2, 3, 32, 32), mode='loss')


def test_a_student_without_labels(tmp_path):
    folder = saved(tmp_path, 'DINOv3ViT', **TINY)
    student = {'type': 'HuggingFaceModel', 'model_name': folder}
    terms = {'t': {**MIMIC, 'student': 'model.layer.0'}}
    model = build(distiller(tmp_path, student=student, terms=terms, task_weight=0.0))
    losses = model(torch.randn(2, 3, 32, 32), samples([0, 1]), mode='loss')
    assert losses['loss_t'] > 0
    assert len(model(torch.randn(2, 3, 32, 32), samples([0, 1]), mode='predict')) == 2
