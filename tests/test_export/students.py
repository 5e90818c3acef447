"""A tiny student of every family, as a checkpoint with its config."""

from pathlib import Path
from typing import Any

import torch
import transformers
from mmengine.config import Config

from tests.helpers import build, save_weights, vit
from tests.test_models.test_classifiers.test_grids import TINY

PREPROCESSOR = {'mean': [120.0, 110.0, 100.0], 'std': [60.0, 55.0, 50.0]}
SWIN = {
    'type': 'SwinTransformer',
    'arch': {'embed_dims': 8, 'depths': [2, 1], 'num_heads': [1, 2]},
    'img_size': 32,
    'patch_size': 2,
    'window_size': 4,
    'out_indices': (1,),
}
TINYVIT = {
    'type': 'TinyViT',
    'arch': {
        'channels': [8, 8, 16, 16],
        'num_heads': [1, 1, 2, 2],
        'depths': [1, 1, 1, 1],
    },
    'img_size': (64, 64),
    'window_size': [4, 4, 4, 4],
    'gap_before_final_norm': False,
}
RESNET = {'type': 'ResNet', 'depth': 18, 'base_channels': 8, 'stem_channels': 8}


def pooled(backbone: dict, width: int) -> dict:
    """Config of a classifier whose features are pooled."""
    return {
        'type': 'ImageClassifier',
        'backbone': backbone,
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {
            'type': 'LinearClsHead',
            'num_classes': 10,
            'in_channels': width,
            'loss': {'type': 'CrossEntropyLoss'},
        },
    }


def family(name: str, folder: Path) -> dict[str, Any]:
    """Config of a tiny student."""
    if name == 'ViT':
        return vit()
    if name == 'distilled DeiT':
        cfg = vit(type='DistilledVisionTransformer')
        cfg['head']['type'] = 'DeiTClsHead'
        return cfg
    if name == 'Swin':
        return pooled(SWIN, 16)
    if name == 'TinyViT':
        return pooled(TINYVIT, 16)
    if name == 'ResNet':
        return pooled(RESNET, 64)
    if name == 'ours':
        cfg = vit(type='ConvAttentionViT', conv_layers=2)
        cfg['head']['type'] = 'ExtraTokenClsHead'
        return cfg
    if name == 'WideLast':
        cfg = vit(type='WideLastViT', last_dims=24, last_heads=3)
        cfg['head']['in_channels'] = 24
        return cfg
    if name == 'Lift':
        cfg = vit(out_type='featmap', final_norm=False)
        loss = {'type': 'CrossEntropyLoss'}
        head = {'num_classes': 10, 'in_channels': 16, 'lift_channels': 24}
        return {**cfg, 'head': {'type': 'LiftClsHead', **head, 'loss': loss}}
    if name == 'CSKD':
        cfg = vit(type='DistilledVisionTransformer', out_type='raw')
        cfg['head']['type'] = 'CSKDClsHead'
        return cfg
    if name == 'VkD':
        cfg = vit(type='CrossBiasViT', stem_channels=32, stems=['conv'])
        cfg['head']['type'] = 'ExtraTokenClsHead'
        return cfg
    if name == 'timm':
        small = {'img_size': 32, 'patch_size': 8, 'embed_dim': 16, 'depth': 2}
        kind = {'model_name': 'vit_tiny_patch16_224', 'num_classes': 10}
        return {'type': 'TimmClassifier', **kind, **small, 'num_heads': 2}
    kinds = {'Hugging Face': 'ViTConfig', 'DINOv2': 'Dinov2Config'}
    config = getattr(transformers, kinds[name])(**TINY, num_labels=10)
    config.save_pretrained(folder / 'settings')
    kind = {'model_name': str(folder / 'settings'), 'pretrained': False}
    return {'type': 'HuggingFaceClassifier', **kind}


def saved(model: dict, folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Write a classifier's config and random weights; return both files."""
    model = {**model, 'data_preprocessor': {**PREPROCESSOR, 'to_rgb': True}}
    cfg = Config({'default_scope': 'mmvitkd', 'model': model, **changes})
    cfg.dump(folder / 'student.py')
    return folder / 'student.py', save_weights(model, folder / 'student.pth')


def images(count: int, size: int) -> torch.Tensor:
    """RGB from 0 to 255."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(256, (count, 3, size, size), generator=generator)
    return drawn.to(torch.uint8)


def predicted(cfg: Path, weights: Path, rgb: torch.Tensor) -> torch.Tensor:
    """What MMPretrain predicts of images that a pipeline has read as BGR, (B, K)."""
    model = build(Config.fromfile(cfg).model)
    model.load_state_dict(torch.load(weights)['state_dict'])
    model.eval()
    data = model.data_preprocessor({'inputs': rgb.flip(1)})
    with torch.no_grad():
        return torch.stack([x.pred_score for x in model.predict(data['inputs'])])
