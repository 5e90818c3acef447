"""One vector an image, whichever library the model is of."""

import pytest
import torch
import transformers

from mmvitkd.models.classifiers.pooled import pooled_features
from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import build, vit
from tests.test_models.test_classifiers.test_grids import TINY
from tests.test_models.test_classifiers.test_hugging_face_model import saved

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SMALL = {'img_size': 32, 'patch_size': 8, 'embed_dim': 16, 'depth': 1, 'num_heads': 2}


@torch.no_grad()
def pooled(cfg: dict, *args) -> tuple:
    model = build(cfg).eval()
    return model, pooled_features(model, IMAGES, *args)


def test_what_the_head_takes():
    model, found = pooled(vit())
    assert torch.equal(model.head.layers.head(found), model(IMAGES))


@pytest.mark.parametrize('kind', ['cls_token', 'raw', 'featmap', 'avg_featmap'])
def test_a_student_without_a_head(kind):
    cfg = vit(out_type=kind, final_norm=False)
    del cfg['head']
    model, found = pooled(cfg)
    tokens, patches = {}, slice(1, None)
    model.backbone.layers[-1].register_forward_hook(
        lambda _, __, out: tokens.setdefault('out', out)
    )
    model(IMAGES)
    leads = kind in ('cls_token', 'raw')
    value = tokens['out'][:, 0] if leads else tokens['out'][:, patches].mean(1)
    if kind != 'avg_featmap':  # which has a norm of its own
        torch.testing.assert_close(found, value)
    assert found.shape == (2, 16)


def test_a_tap():
    model, found = pooled(vit(), Tap('backbone.layers.0', 'cls'))
    tokens = []
    model.backbone.layers[0].register_forward_hook(lambda *a: tokens.append(a[2]))
    model(IMAGES)
    assert torch.equal(found, tokens[0][:, 0])
    patches = pooled_features(model, IMAGES, Tap('backbone.layers.0'))
    torch.testing.assert_close(patches, tokens[1][:, 1:].mean(1))


@pytest.mark.parametrize('classes', [0, 5])
def test_timms_are_its_own(classes):
    """A ViT's class token behind the norm, with and without a head."""
    name = 'vit_tiny_patch16_224'
    cfg = {'type': 'TimmClassifier', 'model_name': name, 'num_classes': classes}
    model, found = pooled({**cfg, **SMALL})
    assert torch.equal(model.model.head(found), model(IMAGES))


def test_timms_resnet():
    cfg = {'type': 'TimmClassifier', 'model_name': 'resnet10t'}
    model, found = pooled(cfg)
    torch.testing.assert_close(model.model.fc(found), model(IMAGES))


@pytest.mark.parametrize('name', ['ViT', 'Dinov2WithRegisters'])
def test_hugging_faces_classifiers(tmp_path, name):
    config = getattr(transformers, f'{name}Config')(**TINY)
    made = getattr(transformers, f'{name}ForImageClassification')(config)
    made.save_pretrained(tmp_path)
    cfg = {'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path)}
    model, found = pooled({**cfg, 'pretrained': True})
    torch.testing.assert_close(model.model.classifier(found), model(IMAGES))


@pytest.mark.parametrize(
    ('name', 'auto', 'kind'),
    [
        ('DINOv3ViT', 'AutoModel', 'cls'),
        ('SiglipVision', 'SiglipVisionModel', 'pooler'),
        ('CLIPVision', 'CLIPVisionModel', 'pooler'),
    ],
)
def test_hugging_faces_models_without_classes(tmp_path, name, auto, kind):
    folder = saved(tmp_path, name, **TINY)
    cfg = {'type': 'HuggingFaceModel', 'model_name': folder, 'auto_class': auto}
    model, found = pooled({**cfg, 'pretrained': True})
    with torch.no_grad():
        out = model.model(IMAGES)
    expected = out.last_hidden_state[:, 0] if kind == 'cls' else out.pooler_output
    assert torch.equal(found, expected)


def test_what_yields_no_vector():
    cfg = {'type': 'TimmClassifier', 'model_name': 'vit_tiny_patch16_224'}
    model = build({**cfg, **SMALL, 'num_classes': 0}).eval()
    with pytest.raises(ValueError, match='name the module that yields it'):
        model.model.forward_head = lambda x, pre_logits: x
        pooled_features(model, IMAGES)
