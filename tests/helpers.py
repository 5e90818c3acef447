"""Small real models and samples that several tests share."""

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from mmvitkd.registry import MODELS


def build(cfg: dict) -> Any:
    """Build a model by our registry, unscoped names included."""
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        return MODELS.build(cfg)


def vit(width: int = 16, classes: int = 10, layers: int = 3, **backbone: Any) -> dict:
    """Config of a ViT classifier of 32x32 images with a 4x4 grid."""
    arch = {
        'embed_dims': width,
        'num_layers': layers,
        'num_heads': 2,
        'feedforward_channels': 2 * width,
    }
    return {
        'type': 'ImageClassifier',
        'backbone': {
            'type': 'VisionTransformer',
            'arch': arch,
            'img_size': 32,
            'patch_size': 8,
            **backbone,
        },
        'head': {
            'type': 'VisionTransformerClsHead',
            'num_classes': classes,
            'in_channels': width,
            'init_cfg': {'type': 'TruncNormal', 'layer': 'Linear', 'std': 0.5},
            'loss': {'type': 'CrossEntropyLoss'},
        },
    }


def save_weights(cfg: dict, path: Path, seed: int = 1) -> Path:
    """Write random, non-degenerate weights of a model to a checkpoint file."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(cfg)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        torch.save({'state_dict': model.state_dict()}, path)
    return path


def samples(labels: list[int]) -> list[DataSample]:
    """Data samples with class indices."""
    return [DataSample().set_gt_label(label) for label in labels]


MIMIC = {
    'student': 'backbone.layers.0',
    'teacher': 'backbone.layers.0',
    'neck': {'type': 'LinearProjector'},
    'loss': {'type': 'ViTKDMimicLoss'},
}
GEN = {
    'student': 'backbone.ln1',
    'teacher': 'backbone.ln1',
    'neck': {'type': 'ConvGenerativeProjector'},
    'loss': {'type': 'ViTKDGenLoss'},
}
NKD = {'student': 'head', 'teacher': 'head', 'loss': {'type': 'NKDLoss'}}


def distiller(folder: Path, **changes: Any) -> dict:
    """Config of a distiller (width 16 under 24) whose teacher's weights exist."""
    teacher = vit(24)
    cfg = {
        'type': 'ViTKDDistiller',
        'student': vit(16),
        'teacher': {
            'cfg': teacher,
            'checkpoint': str(save_weights(teacher, folder / 'teacher.pth')),
        },
        'terms': {'mimic0': MIMIC, 'gen': GEN, 'nkd': NKD},
    }
    return {**cfg, **changes}
