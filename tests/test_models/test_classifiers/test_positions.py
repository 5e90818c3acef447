"""Teachers whose checkpoint was trained for images of another size."""

import pytest
import torch
from timm.layers import resample_abs_pos_embed

from mmvitkd.models import MaskedTeacher, Teacher
from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import build, distiller, save_weights, vit
from tests.test_models.test_classifiers.test_grids import TINY, hugging_face

DINOV2 = {
    'type': 'TimmClassifier',
    'model_name': 'vit_small_patch14_dinov2',
    'embed_dim': 16,
    'depth': 2,
    'num_heads': 2,
}
SIGLIP = {**DINOV2, 'model_name': 'vit_base_patch16_siglip_224'}
BLOCK = Tap('model.blocks.1')


def saved(tmp_path, cfg):
    return str(save_weights(cfg, tmp_path / 'teacher.pth'))


@pytest.mark.parametrize(
    'cfg, size, other, extra',
    [(DINOV2, 518, 224, 1), (SIGLIP, 224, 64, 0), (SIGLIP, 224, 256, 0)],
)
def test_timms_positions_are_resized_as_timm_does(
    tmp_path, log, cfg, size, other, extra
):
    path = saved(tmp_path, cfg)
    teacher = Teacher({**cfg, 'img_size': other}, path)
    teacher.load()
    own = torch.load(path)['state_dict']['pos_embed']
    grid = teacher.model.model.patch_embed.grid_size
    expected = resample_abs_pos_embed(own, list(grid), num_prefix_tokens=extra)
    assert torch.equal(teacher.model.model.pos_embed, expected)
    assert own.shape != expected.shape
    assert teacher.input_size == (other, other)
    assert f'pos_embed is resized from {tuple(own.shape)}' in log.text
    images = torch.randn(2, 3, 32, 32)
    plain = build(vit()).data_preprocessor
    assert teacher(images, plain, [BLOCK])[BLOCK].hw == grid


def test_what_does_not_fit_for_another_reason_is_still_an_error(tmp_path):
    path = saved(tmp_path, {**DINOV2, 'img_size': 28})
    for change in ({'embed_dim': 32}, {'num_classes': 3}, {'depth': 1}):
        with pytest.raises(ValueError, match='does not fit TimmClassifier'):
            Teacher({**DINOV2, 'img_size': 56, **change}, path).load()


def hugging_face_cfg(tmp_path, name: str, **settings) -> dict:
    config = {'vision_config': {**TINY, **settings}}
    if name not in ('Siglip', 'CLIP'):
        config = {**TINY, **settings}
    folder = tmp_path / f'{name}-{settings.get("image_size", 32)}'
    hugging_face(name, **config)().save_pretrained(folder)
    return {'type': 'HuggingFaceClassifier', 'model_name': str(folder)}


@pytest.mark.parametrize(
    'name, path',
    [('Siglip', 'vision_model.encoder.layers.1'), ('ViT', 'vit.encoder.layer.1'),
     ('CLIP', 'vision_model.encoder.layers.1')],
)  # fmt: skip
def test_a_hugging_face_teacher_of_another_size(tmp_path, name, path):
    """As resized weights, and in every forward, as the library does."""
    tap = Tap(f'model.{path}')
    small = hugging_face_cfg(tmp_path, name)
    weights = saved(tmp_path, small)
    plain = build(vit()).data_preprocessor
    images = torch.randn(2, 3, 64, 64)
    natural = Teacher(small, weights)
    assert natural.input_size == (32, 32)
    assert natural(images, plain, [tap])[tap].hw == (4, 4)
    given = Teacher(small, weights, input_size=(64, 64))
    given.load()
    answer = given(images, plain, [tap])[tap]
    assert answer.hw == (8, 8)
    large = Teacher(hugging_face_cfg(tmp_path, name, image_size=64), weights)
    large.load()
    torch.testing.assert_close(large(images, plain, [tap])[tap].value, answer.value)


def test_masked_teachers_refuse_positions_inside_the_blocks(tmp_path):
    """The rotary ones of EVA-02, the relative ones of BEiT."""
    kd = {
        'kd': {'student': 'head', 'teacher': 'model.head', 'loss': {'type': 'KDLoss'}}
    }
    for name in ('eva02_tiny_patch14_224', 'beit_base_patch16_224'):
        cfg = {**DINOV2, 'model_name': name, 'img_size': 56, 'num_classes': 10}
        cfg['patch_size'] = 14
        teacher = {'type': 'MaskedTeacher', 'cfg': cfg, 'checkpoint': 'x'}
        with pytest.raises(ValueError, match="can't do with fewer.*rotary or relative"):
            build(distiller(tmp_path, teacher=teacher, terms=kd))
        kept = {**teacher, 'keep_ratio': 1.0}
        made = build(distiller(tmp_path, teacher=kept, terms=kd))
        assert isinstance(made.teachers['teacher'], MaskedTeacher)


def test_a_distillation_run_as_a_teacher(tmp_path):
    run = build(distiller(tmp_path))
    path = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': run.state_dict()}, path)
    with pytest.raises(ValueError, match=r"distillation run: prefix='student\.'"):
        Teacher(vit(16), path).load()
    Teacher(vit(16), path, prefix='student.').load()
    with pytest.raises(ValueError) as error:
        Teacher(vit(24), path, prefix='student.').load()
    assert 'distillation run' not in str(error.value)


def test_the_log_names_where_a_library_has_its_weights_from(tmp_path, log):
    cfg = {**hugging_face_cfg(tmp_path, 'ViT'), 'pretrained': True}
    Teacher(cfg).load()
    assert f'Teacher weights: {cfg["model_name"]}, by pretrained=True' in log.text
