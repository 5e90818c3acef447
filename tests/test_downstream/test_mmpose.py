import math
import runpy
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from mmvitkd.registry import MODELS
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.export import export_student
from tests.helpers import build
from tests.shrink import CONFIGS
from tests.test_downstream.coco_keypoints import (
    DETECTED,
    FILES,
    IMAGES,
    coco_keypoints,
    shrink,
    shrink_model,
)
from tests.test_downstream.common import (
    classifier,
    load,
    names,
    refused,
    save_student,
    student_weights,
    train,
)

pytestmark = pytest.mark.onedl_only

EVERY = names('mmpose')
PLAIN = 'td-hm_vitpose-deit-small_8xb64-210e_coco-256x192'
UPSTREAM = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_ViTPose-small_8xb64-210e_coco-256x192.py'
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return coco_keypoints(tmp_path_factory.mktemp('coco') / 'coco')


def estimator(cfg: Config) -> nn.Module:
    """Build a config's model, as MMPose's runner would."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('name', EVERY)
def test_trains_a_step_and_is_evaluated(name, tmp_path, data):
    """From the student's checkpoint to COCO's keypoint AP, by the real runner."""
    cfg = shrink(load(name), tmp_path, data)
    runner, before = train(cfg)

    student = student_weights(cfg, distilled=name != PLAIN)
    assert set(student) - set(before) == {'cls_token'}
    assert set(before) <= set(student)
    for weight in set(before) - {'pos_embed'}:
        assert torch.equal(before[weight].cpu(), student[weight]), weight

    log = runner.message_hub.log_scalars
    assert runner.iter == 1
    assert {'train/loss', 'train/loss_kpt'} <= set(log)
    assert 0 < log['train/loss_kpt'].current() < math.inf
    after = runner.model.backbone.state_dict()
    assert not torch.equal(after['pos_embed'], before['pos_embed'])
    assert len(runner.val_dataloader.dataset) == 2 * IMAGES  # those detected
    for score in ('AP', 'AP .5', 'AR'):
        assert 0 <= log[f'val/coco/{score}'].current() <= 1
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


def students_features(backbone: nn.Module, images: Tensor) -> Tensor:
    """What a student's own modules make of images without its class token.

    Args:
        backbone: The classifier's, with a class token and a square map.
        images: ``(B, 3, H, W)``.

    Returns:
        ``(B, C, h, w)``.
    """
    patches = backbone.patch_embed.projection
    x = nn.functional.conv2d(images, patches.weight, patches.bias, 16, padding=2)
    hw = x.shape[2:]
    side = math.isqrt(backbone.pos_embed.shape[1] - 1)
    positions = backbone.pos_embed[:, 1:].mT.unflatten(2, (side, side))
    x = x + nn.functional.interpolate(positions, hw, mode='bicubic')
    x = x.flatten(2).mT  # (B, h * w, C)
    for layer in backbone.layers:
        x = layer(x)
    return backbone.ln1(x).mT.unflatten(2, hw)


@pytest.mark.parametrize('kind', ['plain', 'distilled', 'exported'])
def test_features_are_those_of_the_student(kind, tmp_path):
    """Whose six heads twelve would replace without a word."""
    cfg = load(PLAIN)
    shrink_model(cfg.model)
    path = tmp_path / 'student.pth'
    save_student(cfg.model.backbone, path, distilled=kind != 'plain')
    weights = load_checkpoint(path)['state_dict']
    for name in weights:
        if '.qkv.' in name:
            weights[name] *= 10  # or else all attention is even, in any head
    torch.save({'state_dict': weights}, path)
    prefix = 'backbone.' if kind == 'plain' else 'student.backbone.'
    reference = build(classifier(cfg.model.backbone)).backbone
    reference.load_state_dict(weights_of(weights, prefix))
    if kind == 'exported':
        path = export_student(path, tmp_path / 'exported.pth')
    cfg.model.backbone.init_cfg.checkpoint = str(path)
    assert cfg.model.backbone.arch.num_heads == 6
    images = torch.randn(2, 3, 64, 48)
    features = {}
    for heads in (6, 12):
        cfg.model.backbone.arch.num_heads = heads
        model = estimator(cfg)
        model.init_weights()
        model.eval()
        with torch.no_grad():
            (features[heads],) = model.backbone(images)
    reference.eval()
    with torch.no_grad():
        expected = students_features(reference, images)
    assert expected.shape == (2, 24, 4, 3)
    assert expected.std() > 0.1
    torch.testing.assert_close(features[6], expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(features[12], expected, atol=0.1)


def test_recipe_is_mmposes():
    """All but the student."""
    ours = load(PLAIN).to_dict()
    upstream = Config.fromstring(f'_base_ = {UPSTREAM!r}', '.py').to_dict()
    backbones = [cfg['model']['backbone'] for cfg in (ours, upstream)]
    (arch, theirs), inits = (
        [backbone.pop(key) for backbone in backbones] for key in ('arch', 'init_cfg')
    )
    assert (arch, theirs['num_heads']) == ('deit-small', 12)
    assert inits[0]['type'] == 'mmvitkd.StrictPretrained'
    assert set(inits[0]) == {'type', 'checkpoint', 'expected_unused'}
    assert ours == upstream
    assert ours['train_cfg']['max_epochs'] == 210
    batch = 8 * ours['train_dataloader']['batch_size']
    assert batch == ours['auto_scale_lr']['base_batch_size'] == 512


def test_full_size_model_is_the_student_with_a_head():
    """Its backbone has the parameters of the student's, but for the class token."""
    model = estimator(load(PLAIN))
    run_name = 'vitkd_deit-small_deit3-base_8xb128_in1k'
    student = Config.fromfile(CONFIGS / 'vitkd' / f'{run_name}.py').model.student
    student = build(student).backbone
    heads = {layer.attn.num_heads for layer in model.backbone.layers}
    assert heads == {layer.attn.num_heads for layer in student.layers} == {6}
    ours, shapes = (
        {n: tuple(p.shape) for n, p in backbone.named_parameters()}
        for backbone in (model.backbone, student)
    )
    assert shapes.pop('cls_token') == (1, 1, 384)
    assert shapes.pop('pos_embed') == (1, 1 + 14 * 14, 384)
    assert ours.pop('pos_embed') == (1, 16 * 12, 384)
    assert ours == shapes
    model.eval()
    with torch.no_grad():
        heatmaps = model(torch.zeros(1, 3, 256, 192), None)
    assert heatmaps.shape == (1, 17, 64, 48)


def test_mims_script_trains_an_estimator(tmp_path, data, monkeypatch):
    """MMPose's own, found as ``mim train mmpose`` finds it; see installation.md."""
    from mim.utils import get_installed_path

    path = tmp_path / 'estimator.py'
    shrink(load(PLAIN), tmp_path, data).dump(path)
    script = f'{get_installed_path("mmpose")}/.mim/tools/train.py'
    args = [script, str(path), '--work-dir', str(tmp_path / 'run')]
    monkeypatch.setattr(sys, 'argv', args)
    runpy.run_path(script, run_name='__main__')
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert "Loaded into VisionTransformer: 149 weights of '" in log.read_text()
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


def test_annotations_of_a_missing_image_are_refused(tmp_path):
    data = coco_keypoints(tmp_path / 'coco')
    (data / 'train2017' / f'{IMAGES - 1:012d}.jpg').unlink()
    refused(shrink(load(PLAIN), tmp_path, data), '000000000002.jpg', FileNotFoundError)


@pytest.mark.parametrize('file', [FILES['val2017'], DETECTED])
def test_missing_annotations_are_refused(tmp_path, file):
    data = coco_keypoints(tmp_path / 'coco')
    cfg = shrink(load(PLAIN), tmp_path, data)
    (data / file).unlink()
    with pytest.raises((AssertionError, FileNotFoundError), match=file):
        Runner.from_cfg(cfg).val()
