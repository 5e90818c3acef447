"""What is missing or can't work is told in a line, before anything is built."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmvitkd.registry import MODELS
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.needs import check_data, check_needs
from tests.test_downstream import ade, coco, coco_keypoints
from tests.test_downstream.common import load
from tests.test_downstream.test_mmdet import LIGHT
from tests.test_tools.runs import message, run

pytestmark = pytest.mark.onedl_only

DATA = {
    LIGHT: (coco.coco, coco.shrink),
    'upernet_deit-small_8xb2-160k_ade20k-512x512': (ade.ade, ade.shrink),
    'td-hm_vitpose-deit-small_8xb64-210e_coco-256x192': (
        coco_keypoints.coco_keypoints,
        coco_keypoints.shrink,
    ),
}
TRAIN = 'train_dataloader.dataset'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return coco.coco(tmp_path_factory.mktemp('coco') / 'coco')


@pytest.fixture
def cfg(tmp_path, data):
    return coco.shrink(load(LIGHT), tmp_path, data)


@pytest.fixture
def rtmdet(cfg):
    """Boxes by RTMDet's head from the same backbone and data."""
    cfg.model = {
        'type': 'RTMDet',
        'data_preprocessor': cfg.model.data_preprocessor.to_dict(),
        'backbone': cfg.model.backbone.to_dict(),
        'neck': cfg.model.neck.to_dict(),
        'bbox_head': {
            'type': 'RTMDetSepBNHead',
            'num_classes': 80,
            'in_channels': 16,
            'feat_channels': 16,
            'stacked_convs': 1,
            'norm_cfg': {'type': 'BN'},
            'with_objectness': False,
            'anchor_generator': {
                'type': 'MlvlPointGenerator',
                'offset': 0,
                'strides': [4, 8, 16, 32, 64],
            },
            'bbox_coder': {'type': 'DistancePointBBoxCoder'},
            'loss_cls': {'type': 'QualityFocalLoss', 'use_sigmoid': True},
            'loss_bbox': {'type': 'GIoULoss'},
        },
        'train_cfg': {
            'assigner': {'type': 'DynamicSoftLabelAssigner', 'topk': 13},
            'allowed_border': -1,
            'pos_weight': -1,
        },
        'test_cfg': {
            'nms_pre': 100,
            'min_bbox_size': 0,
            'score_thr': 0.0,
            'nms': {'type': 'nms', 'iou_threshold': 0.6},
            'max_per_img': 10,
        },
    }
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'].metric = 'bbox'
    return cfg


def written(cfg: Config, folder: Path) -> Path:
    cfg.dump(folder / 'model.py')
    return folder / 'model.py'


@pytest.mark.parametrize('name', DATA)
def test_missing_data_is_named(name, tmp_path):
    write, shrink = DATA[name]
    data = write(tmp_path / 'data')
    cfg = shrink(load(name), tmp_path, data)
    check_needs(cfg)
    check_data(cfg, 'test')
    files = cfg.train_dataloader.dataset
    while 'dataset' in files:
        files = files.dataset
    key, prefix = next(iter(files.data_prefix.items()))
    files.data_prefix[key] = 'nowhere'
    with pytest.raises(ConfigError, match=f"{key}: there is no folder .*/nowhere'"):
        check_needs(cfg)
    check_data(cfg, 'test')
    files.data_prefix[key] = prefix
    files.ann_file = 'gone.json'
    with pytest.raises(ConfigError, match=r"ann_file: there is no file .*gone\.json'"):
        check_needs(cfg)
    files.data_root = 'petrel://bucket'
    check_needs(cfg)
    files.data_root = str(tmp_path / 'elsewhere')
    with pytest.raises(ConfigError) as error:
        check_needs(cfg)
    assert str(error.value).count('there is no') == 1
    assert str(error.value).endswith(
        "data_root: there is no folder '" + files.data_root + "'"
    )


def test_cocos_missing_annotations_are_one_line(cfg, data, tmp_path):
    labels = str(data / 'annotations' / 'gone.json')
    cfg.train_dataloader.dataset.ann_file = 'annotations/gone.json'
    cfg.val_evaluator.ann_file = labels
    cfg.test_evaluator.ann_file = labels
    path = written(cfg, tmp_path)
    text = message('downstream/train', path, '--work-dir', tmp_path / 'run')
    assert text.count('\n') == 0
    assert f"{TRAIN}.ann_file: there is no file '{labels}'" in text
    assert f"val_evaluator.ann_file: there is no file '{labels}'" in text
    text = message('test', path, 'any.pth', '--work-dir', tmp_path / 'run')
    assert text == f"error: test_evaluator.ann_file: there is no file '{labels}'"


def test_a_test_set_needs_no_label_maps(tmp_path):
    name = 'upernet_deit-small_8xb2-160k_ade20k-512x512'
    cfg = ade.shrink(load(name), tmp_path, ade.ade(tmp_path / 'data'))
    cfg.test_dataloader.dataset.data_prefix.seg_map_path = 'nowhere'
    check_data(cfg, 'test')


def test_bfloat16_that_ends_in_mmcv_is_refused(cfg, tmp_path):
    path = written(cfg, tmp_path)
    refusal = "mmcv's RoIAlign takes no bfloat16, which mixed precision is on CPUs"
    for command in (['downstream/train', path], ['test', path, 'any.pth']):
        text = message(*command, '--amp', '--work-dir', tmp_path / 'run')
        assert (
            f'error: model.roi_head.bbox_roi_extractor.roi_layer.type: {refusal}'
            in text
        )


def test_other_ends_of_bfloat16_are_in_words(rtmdet, tmp_path):
    """RTMDet's boxes come to mmcv's NMS in bfloat16, which others' do not."""
    checkpoint = tmp_path / 'model.pth'
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(rtmdet.model)
    torch.save({'state_dict': model.state_dict()}, checkpoint)
    path = written(rtmdet, tmp_path)
    text = message('test', path, checkpoint, '--amp', '--work-dir', tmp_path / 'test')
    assert 'an operation of the model takes no bfloat16' in text
    assert 'leave out --amp' in text


def test_masks_for_a_head_of_boxes_are_refused(rtmdet, tmp_path):
    path = written(rtmdet, tmp_path)
    text = message('downstream/train', path, '--work-dir', tmp_path / 'run')
    assert f'{TRAIN}.pipeline.1.with_mask=True: RTMDetSepBNHead learns' in text
    with pytest.raises(AttributeError, match="'BitmapMasks' object has no attribute"):
        Runner.from_cfg(rtmdet).train()  # what happened, as long as mmdet does so


def test_rtmdet_trains_on_boxes_also_in_bfloat16(rtmdet, tmp_path):
    """It suppresses boxes in testing alone, which is in float32."""
    rtmdet.train_dataloader.dataset.pipeline[1].with_mask = False
    path = written(rtmdet, tmp_path)
    runner = run('downstream/train', path, '--amp', '--work-dir', tmp_path / 'run')
    assert runner.iter == 1
    assert 0 <= runner.message_hub.get_scalar('val/coco/bbox_mAP').current() <= 1
