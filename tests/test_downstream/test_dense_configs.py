"""The configs whose students are detectors and segmentors, shrunk, take a step."""

import copy
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData

from mmvitkd.registry import MODELS
from mmvitkd.utils.config_file import find_config
from tests.shrink import CONFIGS
from tests.test_downstream.coco import coco, one_epoch, shrink_loader
from tests.test_downstream.dense import save_teacher

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

(DETECTOR,) = (CONFIGS / 'detection').glob('*.py')
(SEGMENTOR,) = (CONFIGS / 'segmentation').glob('*.py')


def shrink_backbone(model: ConfigDict, width: int) -> None:
    """Let a ResNet have 18 layers and a few channels, from random weights."""
    model.pretrained = model.backbone.init_cfg = None
    model.backbone.update(depth=18, base_channels=width)
    if 'stem_channels' in model.backbone or model.backbone.type.endswith('V1c'):
        model.backbone.stem_channels = width


def shrink_retinanet(model: ConfigDict, width: int) -> ConfigDict:
    shrink_backbone(model, width)
    del model.pretrained
    channels = [width * 2**i for i in range(4)]
    model.test_cfg.score_thr = 0.0  # so fresh, it is sure of nothing
    model.neck.update(in_channels=channels, out_channels=16)
    model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
    return model


def shrink_pspnet(model: ConfigDict, width: int) -> ConfigDict:
    shrink_backbone(model, width)
    model.decode_head.update(in_channels=8 * width, channels=16)
    model.auxiliary_head.update(in_channels=4 * width, channels=16)
    return model


def shrunk(path: Any, shrink: Any, folder: Any) -> Config:
    """Return a config whose teacher is twice as wide as its student."""
    cfg = Config.fromfile(path)
    teacher = cfg.model.teacher
    read = find_config if '::' in teacher.cfg else Config.fromfile
    large = shrink(read(teacher.cfg).model, 16)
    file = save_teacher(copy.deepcopy(large), cfg.default_scope, folder / 't.pth')
    cfg.model.teacher = {'cfg': large.to_dict(), 'checkpoint': file}
    shrink(cfg.model.student, 8)
    return cfg


def test_a_retinanet_trains_on_coco(tmp_path):
    """By the real runner, to COCO's mAP."""
    data = coco(tmp_path / 'coco')
    cfg = shrunk(DETECTOR, shrink_retinanet, tmp_path)
    for split in ('train', 'val', 'test'):
        shrink_loader(cfg[f'{split}_dataloader'], data)
    one_epoch(cfg, data / 'annotations' / 'instances_val2017.json')
    cfg.visualizer.pop('name', None)
    cfg.work_dir = str(tmp_path / 'work_dir')
    cfg.experiment_name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    log = runner.message_hub.log_scalars
    for level in range(4):
        assert 0 < log[f'train/loss_fpn{level}'].current() <= 4 * 3
    assert log['train/loss_cls'].current() > 0
    assert 0 <= log['val/coco/bbox_mAP'].current() <= 1


def test_a_pspnet_takes_a_step(tmp_path):
    from mmseg.structures import SegDataSample

    cfg = shrunk(SEGMENTOR, shrink_pspnet, tmp_path)
    cfg.model.student.data_preprocessor.size = (64, 64)
    cfg.data_preprocessor.size = (64, 64)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    labels = torch.randint(19, (2, 1, 64, 64))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in labels]
    images = [torch.randint(256, (3, 64, 64), dtype=torch.uint8) for _ in samples]
    data = model.data_preprocessor({'inputs': images, 'data_samples': samples}, True)
    losses = model.loss(**data)
    assert losses['loss_cwd'] > 0
    assert losses['decode.loss_ce'] > 0
    model.parse_losses(losses)[0].backward()
    assert model.student.backbone.stem[0].weight.grad.abs().max() > 0
