import copy
import json
import math
import re
import runpy
import sys

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from mmvitkd.registry import MODELS
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.export import export_student
from tests.helpers import build, distiller, save_weights
from tests.shrink import CONFIGS
from tests.test_downstream.coco import classifier, save_student
from tests.test_downstream.coco_keypoints import (
    DETECTED,
    FILES,
    IMAGES,
    coco_keypoints,
    shrink,
    shrink_model,
)
from tests.test_tools.runs import run

pytestmark = pytest.mark.onedl_only

FOLDER = CONFIGS / 'downstream' / 'mmpose'
EVERY = {path.stem: path for path in sorted(FOLDER.glob('*.py'))}
PLAIN = 'td-hm_vitpose-deit-small_8xb64-210e_coco-256x192'
UPSTREAM = (
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_ViTPose-small_8xb64-210e_coco-256x192.py'
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return coco_keypoints(tmp_path_factory.mktemp('coco') / 'coco')


def load(name: str = PLAIN) -> Config:
    return Config.fromfile(EVERY[name])


def estimator(cfg: Config) -> nn.Module:
    """Build a config's model, as MMPose's runner would."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('name', EVERY)
def test_trains_a_step_and_is_evaluated(name, tmp_path, data):
    """From the student's checkpoint to COCO's keypoint AP, by the real runner."""
    cfg = shrink(load(name), tmp_path, data)
    runner = Runner.from_cfg(cfg)
    before = {}
    original = runner.load_or_resume

    def keep() -> None:
        # after the weights were initialised, before the first step
        before.update(copy.deepcopy(runner.model.backbone.state_dict()))
        original()

    runner.load_or_resume = keep
    runner.train()

    student = load_checkpoint(cfg.model.backbone.init_cfg.checkpoint)
    distilled = any(n.startswith('student.') for n in weights_of(student))
    assert distilled == (name != PLAIN)
    prefix = 'student.backbone.' if distilled else 'backbone.'
    student = weights_of(student, prefix)
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
    cfg = load()
    shrink_model(cfg.model)
    student = classifier(cfg.model.backbone)
    path = tmp_path / 'student.pth'
    if kind == 'plain':
        save_weights(student, path)
    else:
        student['head']['num_classes'] = 10  # the teacher's
        save_weights(distiller(tmp_path, student=student), path)
    weights = load_checkpoint(path)['state_dict']
    for name in weights:
        if '.qkv.' in name:
            weights[name] *= 10  # or else all attention is even, in any head
    torch.save({'state_dict': weights}, path)
    prefix = 'backbone.' if kind == 'plain' else 'student.backbone.'
    reference = build(student).backbone
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


@pytest.mark.parametrize('kind', ['vitkd', 'vitkd-nkd'])
def test_variants_differ_in_the_checkpoint_alone(kind):
    name = PLAIN.replace('deit-small', f'deit-small-{kind}')
    configs = [load().to_dict(), load(name).to_dict()]
    inits = [cfg['model']['backbone']['init_cfg'] for cfg in configs]
    _, file = (init.pop('checkpoint') for init in inits)
    assert configs[0] == configs[1]
    # it is of a run whose student is this backbone
    run_name = re.fullmatch(r'work_dirs/(.*)/epoch_300\.pth', file)[1]
    assert run_name.startswith(f'{kind}_')
    student = Config.fromfile(CONFIGS / 'vitkd' / f'{run_name}.py').model.student
    assert student.backbone.arch == configs[0]['model']['backbone']['arch']


def test_there_are_three_variants():
    assert len(EVERY) == 3


def test_recipe_is_mmposes():
    """All but the student and how batches are collated."""
    ours = load().to_dict()
    upstream = Config.fromstring(f'_base_ = {UPSTREAM!r}', '.py').to_dict()
    backbones = [cfg['model']['backbone'] for cfg in (ours, upstream)]
    (arch, theirs), inits = (
        [backbone.pop(key) for backbone in backbones] for key in ('arch', 'init_cfg')
    )
    assert (arch, theirs['num_heads']) == ('deit-small', 12)
    assert inits[0]['type'] == 'mmvitkd.StrictPretrained'
    assert set(inits[0]) == {'type', 'checkpoint', 'expected_unused'}
    del ours['collate_fn']
    for split in ('train', 'val', 'test'):
        collate = ours[f'{split}_dataloader'].pop('collate_fn')
        assert collate == {'type': 'pseudo_collate'}
    assert ours == upstream
    assert ours['train_cfg']['max_epochs'] == 210
    batch = 8 * ours['train_dataloader']['batch_size']
    assert batch == ours['auto_scale_lr']['base_batch_size'] == 512


def test_full_size_model_is_the_student_with_a_head():
    """Its backbone has the parameters of the student's, but for the class token."""
    model = estimator(load())
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


def test_tools_train_and_test_an_estimator(tmp_path, data):
    """By ``tools/train.py`` and ``tools/test.py``, whose defaults are MMPretrain's."""
    path = tmp_path / 'estimator.py'
    shrink(load(), tmp_path, data).dump(path)
    runner = run('train', path, '--work-dir', tmp_path / 'run')
    trained = runner.message_hub.get_scalar('val/coco/AP').current()
    run(
        'test', path, tmp_path / 'run' / 'epoch_1.pth', '--work-dir', tmp_path / 'test',
        '--out', tmp_path / 'metrics.json', '--out-item', 'metrics',
    )  # fmt: skip
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics['coco/AP'] == trained


def test_mims_script_trains_an_estimator(tmp_path, data, monkeypatch):
    """MMPose's own, found as ``mim train mmpose`` finds it; see installation.md."""
    from mim.utils import get_installed_path

    path = tmp_path / 'estimator.py'
    shrink(load(), tmp_path, data).dump(path)
    script = f'{get_installed_path("mmpose")}/.mim/tools/train.py'
    args = [script, str(path), '--work-dir', str(tmp_path / 'run')]
    monkeypatch.setattr(sys, 'argv', args)
    runpy.run_path(script, run_name='__main__')
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert "Loaded into VisionTransformer: 149 weights of '" in log.read_text()
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()


def broken(tmp_path, data) -> Config:
    cfg = shrink(load(), tmp_path, data)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    return cfg


def refused(cfg: Config, message: str, error: type = ValueError) -> None:
    with pytest.raises(error, match=message):
        Runner.from_cfg(cfg).train()


def test_student_of_another_architecture_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    arch = {'embed_dims': 16, 'depths': [1, 1, 1, 1], 'num_heads': [1, 1, 2, 2]}
    swin = {'type': 'mmpretrain.SwinTransformer', 'arch': arch}
    save_weights(classifier(swin), cfg.model.backbone.init_cfg.checkpoint)
    refused(cfg, r'(?s)does not fit the VisionTransformer.*layers\.0.*missing.*stages')


def test_student_of_another_width_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    wide = copy.deepcopy(cfg.model.backbone)
    wide.arch.embed_dims = 48
    save_student(wide, tmp_path / 'wide.pth', distilled=True)
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / 'wide.pth')
    refused(cfg, r'(?s)wide\.pth.*another shape.*48\].* 24\].*another width')


def test_checkpoint_without_the_prefix_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    cfg.model.backbone.init_cfg.prefix = 'student.backbone.'
    refused(cfg, r"'student\.backbone\.'; this checkpoint has \['backbone\.', 'head\.'")


def test_truncated_checkpoint_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    path = tmp_path / 'student.pth'
    path.write_bytes(path.read_bytes()[:-1000])
    refused(cfg, "student.pth' (can't be read|is damaged)")


def test_annotations_of_a_missing_image_are_refused(tmp_path):
    data = coco_keypoints(tmp_path / 'coco')
    (data / 'train2017' / f'{IMAGES - 1:012d}.jpg').unlink()
    refused(broken(tmp_path, data), '000000000002.jpg', FileNotFoundError)


@pytest.mark.parametrize('file', [FILES['val2017'], DETECTED])
def test_missing_annotations_are_refused(tmp_path, file):
    data = coco_keypoints(tmp_path / 'coco')
    cfg = shrink(load(), tmp_path, data)
    (data / file).unlink()
    with pytest.raises((AssertionError, FileNotFoundError), match=file):
        Runner.from_cfg(cfg).val()


def test_metafile_lists_every_config_once():
    text = (FOLDER / 'metafile.yml').read_text()
    models = yaml.safe_load(text)['Models']
    paths = [f'configs/downstream/mmpose/{name}.py' for name in EVERY]
    assert sorted(model['Config'] for model in models) == sorted(paths)
    for model in models:
        assert model['Config'].endswith(f'/{model["Name"]}.py')
        assert 'Weights' not in model
        for result in model.get('Results', []):
            assert all(key.endswith('(paper)') for key in result['Metrics'])


def test_readme_and_headers_show_the_metafiles_figures():
    rows = (FOLDER / 'README.md').read_text().splitlines()
    for model in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']:
        name = model['Name']
        (row,) = (row for row in rows if f']({name}.py)' in row)
        header = EVERY[name].read_text().split('_base_ =')[0]
        for result in model.get('Results', []):
            for figure in result['Metrics'].values():
                assert f'{figure:.2f}' in row
                assert f'{figure:.2f}' in header
