"""Foundation models as teachers, of random weights: tokens, pixels and files."""

import pytest
import safetensors.torch
import timm
import torch
import transformers

from mmvitkd.models import HuggingFaceModel, Teacher
from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import build, distiller, samples
from tests.test_models.test_classifiers.test_grids import TINY

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
# of timm: its patches, its extra tokens, what its pixels are normalised by
TIMM = {
    'vit_small_patch14_dinov2.lvd142m': (14, 1, IMAGENET),
    'vit_small_patch14_reg4_dinov2.lvd142m': (14, 5, IMAGENET),
    'vit_small_patch16_dinov3.lvd1689m': (16, 5, IMAGENET),
    'vit_base_patch16_siglip_224.v2_webli': (16, 0, HALF),
    'vit_base_patch16_radio_v3.c_radio': (16, 8, CLIP),
    'eva02_small_patch14_224.mim_in22k': (14, 1, CLIP),
    'vit_base_patch16_224.mae': (16, 1, IMAGENET),
}
SMALL = {'embed_dim': 48, 'depth': 2, 'num_heads': 2}


def config(name: str, patch: int, **settings) -> dict:
    """A small one of its kind, for a grid of 4x4."""
    return {
        'type': 'TimmClassifier', 'model_name': name, 'num_classes': 0,
        'img_size': 4 * patch, **SMALL, **settings,
    }  # fmt: skip


def terms(pooled: str | None) -> dict:
    """LightlyTrain's, with a module that pools in the place of a class token."""
    token = {'path': 'model.norm', 'tokens': 'cls'}
    student = {'path': 'backbone.ln1', 'tokens': 'cls'}
    return {
        'queue': {
            'student': student,
            'teacher': token if pooled is None else {'path': pooled},
            'neck': {'type': 'LinearProjector'},
            'loss': {'type': 'QueueKLLoss', 'size': 8},
        },
        'relation': {
            'student': 'backbone.ln1',
            'teacher': 'model.norm',
            'loss': {'type': 'RelationKLLoss'},
        },
    }


@pytest.mark.parametrize('name', TIMM)
def test_timms_teach_without_labels(name, tmp_path):
    """From a file of their own, by their own pixels, at their own size."""
    patch, extra, (mean, std) = TIMM[name]
    cfg = config(name, patch)
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, img_size=4 * patch, **SMALL)
    file = tmp_path / 'model.pth'
    torch.save(model.state_dict(), file)
    teacher = {'cfg': cfg, 'checkpoint': str(file)}
    pooled = None if extra else 'model.attn_pool'
    pixels = {'mean': [100.0] * 3, 'std': [50.0] * 3, 'to_rgb': True}
    made = build(
        distiller(
            tmp_path, teacher=teacher, terms=terms(pooled), task_weight=0.0,
            data_preprocessor=pixels,
        )
    )  # fmt: skip
    made.init_weights()
    own = made.teachers['teacher']
    norm = own.preprocessor
    assert norm.mean.flatten().tolist() == pytest.approx([255 * x for x in mean])
    assert norm.std.flatten().tolist() == pytest.approx([255 * x for x in std])
    tapped = made.probe_features['relation'][2]
    assert (tapped.hw, tapped.value.shape[1:]) == ((4, 4), (16, 48))
    images = torch.randn(2, 3, 32, 32)
    every, patches = Tap('model.norm', 'all'), Tap('model.norm')
    seen = own(images, made.data_preprocessor, [every, patches])
    assert seen[every].value.shape[1] == 16 + extra
    assert torch.equal(seen[every].value[:, extra:], seen[patches].value)
    losses = made.loss(images, samples([0, 1]))
    assert set(losses) == {'loss_queue', 'loss_relation'}
    sum(losses.values()).backward()
    assert made.student.backbone.patch_embed.projection.weight.grad.any()


def metas_file(model) -> dict[str, torch.Tensor]:
    """A timm DINOv2's weights as Meta publishes them."""
    weights = dict(model.state_dict())
    registers = weights.pop('reg_token', None)
    token = weights.pop('cls_token')
    place = torch.randn_like(token) * 0.1
    weights['pos_embed'] = torch.cat([place, weights['pos_embed']], 1)
    weights['cls_token'] = token - place
    weights['mask_token'] = torch.zeros(1, 48)
    if registers is not None:
        weights['register_tokens'] = registers
    return weights


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_file_of_dinov2s_authors(suffix, tmp_path):
    """Whose class token has a position, and which timm's names don't fit."""
    name = 'vit_small_patch14_reg4_dinov2.lvd142m'
    model = timm.create_model(name, num_classes=0, img_size=56, **SMALL).eval()
    file = tmp_path / f'dinov2_vits14_reg4_pretrain{suffix}'
    save = torch.save if suffix == '.pth' else safetensors.torch.save_file
    save({k: v.contiguous() for k, v in metas_file(model).items()}, str(file))
    cfg = config(name, 14, pretrained=True, pretrained_cfg_overlay={'file': str(file)})
    teacher = Teacher(cfg)
    teacher.load()
    images = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        torch.testing.assert_close(teacher.model(images), model(images))


def test_maes_encoder_of_hugging_face_sees_whole_images(tmp_path):
    config = transformers.ViTMAEConfig(**TINY)
    model = transformers.ViTMAEForPreTraining(config).eval()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="hides patches at random.*'ViTModel' reads"):
        HuggingFaceModel(str(tmp_path), pretrained=True)
    made = HuggingFaceModel(
        str(tmp_path), pretrained=True, auto_class='ViTModel'
    ).eval()
    for name, value in model.vit.state_dict().items():
        assert torch.equal(made.model.state_dict()[name], value), name
    assert made(torch.randn(2, 3, 32, 32)).shape == (2, 17, 16)


def test_registers_of_hugging_face(tmp_path):
    config = transformers.Dinov2WithRegistersConfig(**TINY, num_register_tokens=4)
    transformers.Dinov2WithRegistersModel(config).save_pretrained(tmp_path)
    cfg = {'type': 'HuggingFaceModel', 'model_name': str(tmp_path), 'pretrained': True}
    teacher = Teacher(cfg)
    teacher.load()
    layer = 'model.encoder.layer.1'
    taps = [Tap(layer, 'all'), Tap(layer), Tap('model.layernorm', 'cls')]
    images = torch.randn(2, 3, 32, 32)
    plain = build({'type': 'ClsDataPreprocessor'})
    every, patches, token = (teacher(images, plain, taps)[tap] for tap in taps)
    assert every.value.shape[1] == 21 and patches.hw == (4, 4)
    assert token.value.shape == (2, 16)
