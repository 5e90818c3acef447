"""Layer-wise decay for students of any library."""

import pytest
import timm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from timm.optim import param_groups_layer_decay

from mmvitkd.models.classifiers.layer_depth import layer_depth
from tests.helpers import MIMIC, build, distiller, vit
from tests.test_models.test_classifiers.test_grids import TINY
from tests.test_models.test_classifiers.test_image_shape import LEVIT

CFG = {
    'type': 'OptimWrapper',
    'optimizer': {'type': 'AdamW', 'lr': 1.0},
    'constructor': 'LearningRateDecayOptimWrapperConstructor',
    'paramwise_cfg': {'layer_decay_rate': 0.5},
}
RESNET = {
    'type': 'ImageClassifier',
    'backbone': {'type': 'ResNet', 'depth': 18},
    'neck': {'type': 'GlobalAveragePooling'},
    'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 512},
}
TIMM = {
    'type': 'TimmClassifier',
    'model_name': 'vit_tiny_patch16_224',
    'img_size': 32,
    'depth': 3,
    'num_classes': 10,
}


def rates(model, **optimizer) -> dict[str, dict]:
    cfg = {**CFG, 'optimizer': {**CFG['optimizer'], **optimizer}}
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        wrapper = build_optim_wrapper(model, cfg)
    return {group['param_name']: group for group in wrapper.optimizer.param_groups}


def lr_of(groups: dict, *names: str) -> list[float]:
    return [groups[name]['lr'] for name in names]


def test_a_timm_student_has_timms_rates(tmp_path):
    terms = {'m': {**MIMIC, 'student': 'model.blocks.0'}}
    model = build(distiller(tmp_path, student=TIMM, terms=terms))
    groups = rates(model)
    assert list(groups) == [name for name, _ in model.named_parameters()]
    assert all(g['lr'] == 1 for name, g in groups.items() if 'neck' in name)
    assert any('terms.m.neck' in name for name in groups)
    inner = model.student.model
    expected = {
        id(parameter): group['lr_scale']
        for group in param_groups_layer_decay(inner, layer_decay=0.5)
        for parameter in group['params']
    }
    for name, parameter in inner.named_parameters():
        assert groups[f'student.model.{name}']['lr'] == expected[id(parameter)], name


def test_a_timm_cnn():
    model = build({'type': 'TimmClassifier', 'model_name': 'resnet18'})
    groups = rates(model)
    first, last = lr_of(groups, 'model.conv1.weight', 'model.fc.weight')
    assert first < last == 1
    assert timm.create_model('resnet18').group_matcher  # which the order comes from


def test_a_hugging_face_student(tmp_path):
    from transformers import ViTConfig

    ViTConfig(**TINY, num_labels=10).save_pretrained(tmp_path)
    cfg = {'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path)}
    path = 'model.vit.encoder.layer'
    groups = rates(build(cfg))
    assert lr_of(
        groups,
        'model.vit.embeddings.cls_token',
        'model.vit.embeddings.patch_embeddings.projection.weight',
        f'{path}.0.output.dense.weight',
        f'{path}.1.output.dense.weight',
        'model.vit.layernorm.weight',
        'model.classifier.weight',
    ) == [1 / 8, 1 / 8, 1 / 4, 1 / 2, 1, 1]


def test_a_cnn_that_mmpretrain_refuses():
    """ResNet-18: stem, four stages of two blocks, head."""
    groups = rates(build(RESNET))
    names = [
        f'backbone.layer{i}.{j}.conv1.weight' for i in (1, 2, 3, 4) for j in (0, 1)
    ]
    found = lr_of(groups, 'backbone.conv1.weight', *names, 'head.fc.weight')
    assert found == [0.5**power for power in range(9, -1, -1)]


def test_what_lies_between_blocks_belongs_to_the_one_before():
    model = build(LEVIT)
    depths = [layer_depth(model, name)[0] for name, _ in model.named_parameters()]
    assert depths == sorted(depths)
    last, count = layer_depth(model, 'head.head.linear.weight')
    assert last == count - 1


def test_a_model_that_tells_it_is_asked():
    model = build(vit())
    name = 'backbone.layers.1.ln1.weight'
    assert layer_depth(model, name) == model.get_layer_depth(name) == (2, 5)


def test_without_a_weight_decay_the_optimisers_own_counts():
    model = build(vit())
    assert {group['weight_decay'] for group in rates(model).values()} == {0.01}
    sgd = rates(model, type='SGD')
    assert {group['weight_decay'] for group in sgd.values()} == {0}
    given = rates(model, weight_decay=0.3)
    assert {group['weight_decay'] for group in given.values()} == {0.3}


def test_a_model_without_blocks():
    cfg = {**RESNET, 'backbone': {'type': 'LeNet5'}, 'neck': None, 'head': None}
    with pytest.raises(ValueError, match='none in ImageClassifier'):
        rates(build(cfg))
