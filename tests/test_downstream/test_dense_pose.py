"""A pose estimator distilled itself, by the commands, on drawn figures."""

import copy
import json
import uuid
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmvitkd.registry import DATASETS
from mmvitkd.utils import load_checkpoint
from tests.test_downstream.coco import one_epoch
from tests.test_downstream.coco_keypoints import (
    FILES,
    coco_keypoints,
    shrink_loader,
    shrink_model,
)
from tests.test_downstream.common import load
from tests.test_downstream.dense import PROJECTOR, build, command, distilled, term

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

PLAIN = 'td-hm_vitpose-deit-small_8xb64-210e_coco-256x192'
MEAN = {'type': 'ViTKDMimicLoss', 'loss_weight': 1.0, 'reduction': 'mean'}
TERMS = {
    'heatmap': {**term('', 'head.final_layer'), 'loss': MEAN},
    'mimic': term('ViTKDMimicLoss', 'backbone.layers.0', **PROJECTOR),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return coco_keypoints(tmp_path_factory.mktemp('coco') / 'coco')


def estimator(data: Path, folder: Path, **changes) -> Config:
    """A small ViTPose under one that is twice as wide, two steps an epoch."""
    cfg = load(PLAIN)
    shrink_model(cfg.model)
    cfg.model.backbone.init_cfg = None
    for split in ('train', 'val', 'test'):
        shrink_loader(cfg[f'{split}_dataloader'], data)
    cfg.train_dataloader.batch_size = 3
    one_epoch(cfg, data / FILES['val2017'])
    cfg.visualizer.pop('name', None)
    cfg.randomness = {'seed': 0}
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = uuid.uuid4().hex
    student, teacher = cfg.model, copy.deepcopy(cfg.model)
    width = 2 * teacher.backbone.arch.embed_dims
    teacher.backbone.arch.update(embed_dims=width, feedforward_channels=width)
    teacher.head.in_channels = width
    return distilled(cfg, student, teacher, folder, **{'terms': TERMS, **changes})


def dump(cfg: Config, folder: Path) -> Path:
    path = folder / 'run.py'
    cfg.dump(path)
    return path


def test_commands_train_test_resume_and_export(data, tmp_path):
    """As those of classifiers; upstream's runner loads what is exported."""
    ends = []
    for name in ('whole', 'parts'):
        folder = tmp_path / name
        folder.mkdir()
        cfg = estimator(data, folder)
        cfg.train_cfg.update(max_epochs=2, val_interval=2)
        cfg.default_hooks.checkpoint = {'interval': 1}
        run, work_dir = dump(cfg, folder), folder / 'work_dir'
        command('train', run)
        if name == 'parts':
            (work_dir / 'epoch_2.pth').unlink()
            (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_1.pth'))
            command('train', run, '--resume')
        ends.append(load_checkpoint(work_dir / 'epoch_2.pth')['state_dict'])
    assert {name.split('.')[0] for name in ends[0]} == {'student', 'terms'}
    for name, weight in ends[0].items():
        assert torch.equal(weight, ends[1][name]), name
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    logged = {key: value for line in lines for key, value in line.items()}
    for name in TERMS:
        assert logged[f'distill/grad_norm/{name}'] > 0
    assert logged['loss_kpt'] > 0

    checkpoint = work_dir / 'epoch_2.pth'
    command('test', run, checkpoint, '--metrics', tmp_path / 'distilled.json')
    out = tmp_path / 'plain.pth'
    command('export', checkpoint, out, '--config', run)
    plain = Config.fromfile(out.with_suffix('.py'))
    assert plain.default_scope == 'mmpose'
    assert plain.model.type == 'TopdownPoseEstimator'
    plain.work_dir = str(tmp_path / 'upstream')
    plain.load_from = str(out)
    plain.experiment_name = f'{cfg.experiment_name}-plain'
    scores = Runner.from_cfg(plain).test()
    told = json.loads((tmp_path / 'distilled.json').read_text())
    assert scores['coco/AP'] == pytest.approx(told['coco/AP'])


def test_the_term_on_heat_maps_is_their_mean_squared_error(data, tmp_path):
    """By hand; without labels, from the images alone."""
    torch.manual_seed(0)
    model = build(estimator(data, tmp_path, task_weight=0))
    model.init_weights()
    images = torch.randn(2, 3, 64, 48)
    model.eval()
    loss = model.loss(images, None)['loss_heatmap']
    with torch.no_grad():
        sides = [
            one(images, None)
            for one in (model.student, model.teachers['teacher'].model)
        ]
    assert sides[0].shape == (2, 17, 16, 12)
    torch.testing.assert_close(loss, (sides[0] - sides[1]).square().mean())


def test_figures_without_visible_key_points_teach_by_their_terms_alone(data, tmp_path):
    """Their own loss is zero; all is finite."""
    cfg = estimator(data, tmp_path)
    torch.manual_seed(0)
    model = build(cfg)
    model.init_weights()
    model.train()
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = pseudo_collate([dataset[0], dataset[1]])
    for sample in batch['data_samples']:
        sample.gt_instance_labels.keypoint_weights.zero_()
        sample.gt_fields.heatmaps.zero_()
    losses = model.loss(**model.data_preprocessor(batch, True))
    assert losses['loss_kpt'] == 0
    assert min(losses[f'loss_{name}'] for name in TERMS) > 0
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name


def test_a_teacher_of_larger_images_takes_them_resized(data, tmp_path):
    """And its heat maps are brought to the student's grid."""
    cfg = estimator(data, tmp_path)
    cfg.model.teacher.update(input_size=(128, 96))
    model = build(cfg)
    grids = [side.hw for side in model.probe_features['heatmap'][1:]]
    assert grids == [(16, 12), (32, 24)]


def test_data_of_other_key_points_are_told(data, tmp_path):
    """Before the first step; a head may yield offsets beside each map."""
    cfg = estimator(data, tmp_path, terms={'mimic': TERMS['mimic']})
    model = build(cfg)
    for outputs, told in ((17, False), (51, False), (16, True)):
        model.student.head.out_channels = outputs
        refused = pytest.raises(ValueError, match='17 key points, and the head yields')
        with refused if told else nullcontext():
            model.task.check_data(model.student, {'num_keypoints': 17})


def test_other_joints_are_told(data, tmp_path):
    cfg = estimator(data, tmp_path)
    cfg.model.teacher.cfg.head.out_channels = 16
    with pytest.raises(ValueError, match=r"term 'heatmap': .*17.*16"):
        build(cfg)
