"""Detectors and segmentors of the digit scenes, as students and teachers."""

import copy
import uuid
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmvitkd.commands import main
from mmvitkd.registry import MODELS
from tests.shrink import CONFIGS

FOLDER = CONFIGS / 'downstream' / 'digit_scenes'
DETECTOR = 'mask-rcnn_vitdet-w32-scratch_digit-scenes'
SEGMENTOR = 'fcn_vit-w32-scratch_digit-scenes'
TRAIN, VAL = 5, 3


def load(name: str, scenes: Path, folder: Path) -> Config:
    """Return a config of the few scenes, one epoch of two steps."""
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    detects = cfg.default_scope == 'mmdet'
    root = scenes / ('coco' if detects else 'ade')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{root}/'
        if detects and split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(
                root / 'annotations' / 'instances_val2017.json'
            )
    cfg.train_dataloader.batch_size = 3
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.visualizer.pop('name', None)
    cfg.randomness = {'seed': 0}
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = uuid.uuid4().hex
    return cfg


def narrow(model: ConfigDict) -> ConfigDict:
    """Halve the width of a model's backbone."""
    backbone = model.backbone
    backbone.arch = {**backbone.arch, 'embed_dims': 16, 'feedforward_channels': 64}
    part = model.neck if 'neck' in model else model.decode_head
    part.in_channels = 16
    return model


def retina(model: ConfigDict) -> ConfigDict:
    """Make a one-stage detector of the same backbone and neck."""
    head = {
        'type': 'RetinaHead',
        'num_classes': 10,
        'in_channels': 32,
        'stacked_convs': 1,
        'feat_channels': 16,
        'anchor_generator': {
            'type': 'AnchorGenerator',
            'octave_base_scale': 4,
            'scales_per_octave': 1,
            'ratios': [1.0],
            'strides': [2, 4, 8, 16, 32],
        },
        'bbox_coder': {'type': 'DeltaXYWHBBoxCoder'},
        'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True, 'loss_weight': 1.0},
        'loss_bbox': {'type': 'L1Loss', 'loss_weight': 1.0},
    }
    assigner = {'type': 'MaxIoUAssigner', 'pos_iou_thr': 0.5, 'neg_iou_thr': 0.4}
    return ConfigDict(
        type='RetinaNet',
        data_preprocessor={**model.data_preprocessor, 'pad_mask': False},
        backbone=model.backbone,
        neck=model.neck,
        bbox_head=head,
        train_cfg={
            'assigner': {**assigner, 'min_pos_iou': 0, 'ignore_iof_thr': -1},
            'sampler': {'type': 'PseudoSampler'},
            'allowed_border': -1,
            'pos_weight': -1,
            'debug': False,
        },
        test_cfg={
            'nms_pre': 100,
            'min_bbox_size': 0,
            'score_thr': 0.0,
            'nms': {'type': 'nms', 'iou_threshold': 0.5},
            'max_per_img': 10,
        },
    )


def save_teacher(cfg: ConfigDict, scope: str, path: Path) -> str:
    """Write a model's random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        with DefaultScope.overwrite_default_scope(scope):
            model = MODELS.build(cfg)
        model.init_weights()
        torch.save({'state_dict': model.state_dict()}, path)
    return str(path)


def distilled(
    cfg: Config, student: ConfigDict, teacher: ConfigDict, folder: Path, **changes: Any
) -> Config:
    """Return a run that distils a model of the same framework into another."""
    file = save_teacher(teacher, cfg.default_scope, folder / 'teacher.pth')
    cfg.model = {
        'type': 'mmvitkd.ViTKDDistiller',
        'student': student.to_dict(),
        'teacher': {'cfg': teacher.to_dict(), 'checkpoint': file},
        **changes,
    }
    cfg.pop('data_preprocessor', None)
    return cfg


def tap(path: str, **keys: Any) -> dict[str, Any]:
    return {'path': path, **keys}


def term(kind: str, *taps: Any, **keys: Any) -> dict[str, Any]:
    """A term between the same places of both sides, or two."""
    student, teacher = taps * 2 if len(taps) == 1 else taps
    return {'student': student, 'teacher': teacher, 'loss': {'type': kind}, **keys}


PROJECTOR = {'neck': {'type': 'LinearProjector'}}
FPN = {f'fpn{i}': term('ViTKDMimicLoss', tap('neck', output=i)) for i in (0, 3)}


def command(name: str, *args: object) -> None:
    main(name, [str(arg) for arg in args])


def draw(tmp_path_factory) -> Path:
    """Draw a few scenes."""
    out = tmp_path_factory.mktemp('scenes') / 'scenes'
    command('draw-scenes', out, '--train', TRAIN, '--val', VAL)
    return out


def mask_rcnn(scenes: Path, folder: Path, **changes) -> Config:
    cfg = load(DETECTOR, scenes, folder)
    teacher, student = cfg.model, narrow(copy.deepcopy(cfg.model))
    student.test_cfg.rcnn.score_thr = 0.0  # so fresh, it is sure of nothing
    return distilled(cfg, student, teacher, folder, **{'terms': FPN, **changes})


def retinanet(scenes: Path, folder: Path, **changes) -> Config:
    cfg = load(DETECTOR, scenes, folder)
    teacher = retina(cfg.model)
    student = narrow(copy.deepcopy(teacher))
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'].metric = 'bbox'
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            if transform.type == 'LoadAnnotations':
                transform.with_mask = False
    return distilled(cfg, student, teacher, folder, **{'terms': FPN, **changes})


def segmentor(scenes: Path, folder: Path, **changes) -> Config:
    cfg = load(SEGMENTOR, scenes, folder)
    teacher, student = cfg.model, narrow(copy.deepcopy(cfg.model))
    terms = {
        'mimic': term('ViTKDMimicLoss', 'backbone.layers.0', **PROJECTOR),
        'kd': term('KDLoss', 'decode_head.conv_seg'),
    }
    return distilled(cfg, student, teacher, folder, **{'terms': terms, **changes})


def build(cfg: Config):
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)
