"""Students as folders that timm and Hugging Face load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models import (
    DistilledVisionTransformer,
    HuggingFaceClassifier,
    SwinTransformer,
    TimmClassifier,
    VisionTransformer,
)
from PIL.Image import Resampling
from torch import Tensor

from mmvitkd.models.backbones import DeiT3
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.libraries import optional_libraries

from . import names
from .student import Shape, Student, takes_bgr

Predict = Callable[[Tensor], Tensor]
Metadata = dict[str, Any]  # of `student.describe`

# the architectures of timm whose settings are nearest; a folder holds all settings
VIT, DISTILLED, SWIN = (
    {192: 'vit_tiny_patch16_224', 384: 'vit_small_patch16_224'},
    {192: 'deit_tiny_distilled_patch16_224', 384: 'deit_small_distilled_patch16_224'},
    {128: 'swin_base_patch4_window7_224', 192: 'swin_large_patch4_window7_224'},
)
LARGER = {
    'vit': 'vit_base_patch16_224',
    'distilled': 'deit_base_distilled_patch16_224',
    'swin': 'swin_tiny_patch4_window7_224',
}


def write_timm(
    student: Student, shape: Shape, metadata: Metadata, out: Path
) -> Predict:
    """Write a folder that ``timm.create_model('local-dir:...')`` loads.

    Args:
        student: A ViT, DeiT, DeiT III or Swin of MMPretrain, or a student of timm.
        shape: ``(C, H, W)`` of the images.
        metadata: What the folder tells of them.
        out: Is made.

    Returns:
        What predicts by the folder: RGB ``(B, C, H, W)`` from 0 to 255 to logits.

    Raises:
        ConfigError: If timm has no such model.
        ImportError: If timm is missing; the message says how to get it.
    """
    with optional_libraries():
        import timm
    if isinstance(student.model, TimmClassifier):
        model = student.model.model
        cfg = student.cfg.model.to_dict()
        no_args = ('type', 'model_name', 'pretrained', 'loss', 'data_preprocessor')
        args = {k: v for k, v in cfg.items() if k not in no_args}
    else:
        kind = _kind(student, 'timm')
        architecture, args = _timm_settings(student, kind, shape)
        model = timm.create_model(architecture, **args)
        _load(model, _as_timm(student, kind))
    mean, std = ([v / 255 for v in metadata[key]] for key in ('mean', 'std'))
    told: dict[str, Any] = {'input_size': shape, 'mean': mean, 'std': std}
    told |= _timm_preprocessing(metadata)
    classes = metadata['classes']
    timm.models.save_for_hf(
        model,
        str(out),
        model_config={'label_names': classes} if classes else None,
        model_args=args,
        safe_serialization=True,
        data_config=told,
    )
    loaded = timm.create_model(f'local-dir:{out}', pretrained=True).eval()
    return _after_normalisation(loaded, metadata)


def write_hugging_face(
    student: Student, shape: Shape, metadata: Metadata, out: Path
) -> Predict:
    """Write a folder that ``AutoModelForImageClassification`` loads.

    Args:
        student: A ViT, DeiT, DeiT III or Swin of MMPretrain, or a student of Hugging
            Face.
        shape: ``(C, H, W)`` of the images.
        metadata: What the folder tells of them.
        out: Is made.

    Returns:
        What predicts by the folder: RGB ``(B, C, H, W)`` from 0 to 255 to logits.

    Raises:
        ConfigError: If Hugging Face has no such model.
        ImportError: If transformers is missing; the message says how to get it.
    """
    with optional_libraries():
        import transformers
    if isinstance(student.model, HuggingFaceClassifier):
        model = student.model.model
    else:
        model = _hugging_face_model(student, shape)
    if classes := metadata['classes']:
        model.config.id2label = dict(enumerate(classes))
        model.config.label2id = {name: i for i, name in enumerate(classes)}
    model.save_pretrained(out)
    processor = _processor(metadata, shape)
    if processor is not None:
        processor.save_pretrained(out)
    auto = transformers.AutoModelForImageClassification
    loaded = auto.from_pretrained(out).eval()
    return _after_normalisation(lambda x: loaded(pixel_values=x).logits, metadata)


def _after_normalisation(model: Callable[[Tensor], Any], told: Metadata) -> Predict:
    mean, std = (torch.tensor(told[key]).view(-1, 1, 1) for key in ('mean', 'std'))

    @torch.no_grad()
    def predict(images: Tensor) -> Tensor:
        return model((images.float() - mean) / std)

    return predict


def _kind(student: Student, library: str) -> str:
    """Tell a plain ViT, a distilled one and a Swin apart.

    Raises:
        ConfigError: If it is none of them.
    """
    backbone = getattr(student.model, 'backbone', None)
    kinds = {
        VisionTransformer: 'vit',
        DeiT3: 'vit',
        DistilledVisionTransformer: 'distilled',
        SwinTransformer: 'swin',
    }
    found = kinds.get(type(backbone))
    if found is None:
        raise ConfigError(
            f'the student is a {type(backbone or student.model).__name__}, which '
            f'{library} has not under the same weights: ViT, DeiT, DeiT III and Swin, '
            f"or a student of {library}'s own, can be exported so"
        )
    return found


def _as_timm(student: Student, kind: str) -> dict[str, Tensor]:
    weights = {
        key: value
        for key, value in student.model.state_dict().items()
        if not key.startswith('data_preprocessor.')
    }
    rename = names.swin_as_timm if kind == 'swin' else names.vit_as_timm
    found = rename(weights)
    if takes_bgr(student):  # timm and Hugging Face read RGB
        found['patch_embed.proj.weight'] = found['patch_embed.proj.weight'].flip(1)
    return {key: value.contiguous().clone() for key, value in found.items()}


def _vit_settings(backbone: Any) -> dict[str, Any]:
    """Read the settings of a ViT off its modules."""
    layer, patch = backbone.layers[0], backbone.patch_embed.projection
    hidden = layer.ffn.layers[0][0].out_features
    return {
        'patch_size': patch.kernel_size[0],
        'in_chans': patch.in_channels,
        'embed_dim': patch.out_channels,
        'depth': len(backbone.layers),
        'num_heads': layer.attn.num_heads,
        'mlp_ratio': hidden / patch.out_channels,
        'qkv_bias': layer.attn.qkv.bias is not None,
    }


def _swin_settings(backbone: Any) -> dict[str, Any]:
    """Read the settings of a Swin off its modules."""
    patch = backbone.patch_embed.projection
    first = [stage.blocks[0] for stage in backbone.stages]
    return {
        'patch_size': patch.kernel_size[0],
        'in_chans': patch.in_channels,
        'embed_dim': patch.out_channels,
        'depths': [len(stage.blocks) for stage in backbone.stages],
        'num_heads': [block.attn.w_msa.num_heads for block in first],
        'window_size': first[0].attn.window_size,
        'mlp_ratio': first[0].ffn.layers[0][0].out_features / patch.out_channels,
        'qkv_bias': first[0].attn.w_msa.qkv.bias is not None,
    }


def _timm_settings(
    student: Student, kind: str, shape: Shape
) -> tuple[str, dict[str, Any]]:
    """Name timm's architecture, and the settings in which it may differ."""
    backbone = student.model.backbone
    args: dict[str, Any] = {
        'img_size': list(shape[1:]),
        'num_classes': student.model.head.num_classes,
    }
    if kind == 'swin':
        args |= _swin_settings(backbone)
        return SWIN.get(args['embed_dim'], LARGER[kind]), args
    args |= _vit_settings(backbone)
    if kind == 'distilled':
        return DISTILLED.get(args['embed_dim'], LARGER[kind]), args
    scale = getattr(backbone.layers[0].attn.gamma1, 'weight', None)
    if scale is not None:
        args['init_values'] = 1e-5  # anything: the weights come
    if isinstance(backbone, DeiT3):
        args['no_embed_class'] = True
    return VIT.get(args['embed_dim'], LARGER[kind]), args


def _hugging_face_model(student: Student, shape: Shape) -> Any:
    import transformers

    kind = _kind(student, 'Hugging Face')
    backbone = student.model.backbone
    timm = _as_timm(student, kind)
    told = _swin_settings(backbone) if kind == 'swin' else _vit_settings(backbone)
    width = told['embed_dim']
    model: Any
    shared: dict[str, Any] = {
        'image_size': list(shape[1:]),
        'patch_size': told['patch_size'],
        'num_channels': told['in_chans'],
        'qkv_bias': told['qkv_bias'],
        'num_labels': student.model.head.num_classes,
    }
    if kind == 'swin':
        config = transformers.SwinConfig(
            embed_dim=width,
            depths=told['depths'],
            num_heads=told['num_heads'],
            window_size=told['window_size'],
            mlp_ratio=told['mlp_ratio'],
            layer_norm_eps=backbone.patch_embed.norm.eps,
            **shared,
        )
        model = transformers.SwinForImageClassification(config)
        weights = {f'swin.{k}': v for k, v in names.swin_as_hugging_face(timm).items()}
        heads = {'classifier': 'head.fc'}
    else:
        shared |= {
            'hidden_size': width,
            'num_hidden_layers': told['depth'],
            'num_attention_heads': told['num_heads'],
            'intermediate_size': round(told['mlp_ratio'] * width),
            'layer_norm_eps': backbone.layers[0].ln1.eps,
        }
        distilled = kind == 'distilled'
        if distilled:
            model = transformers.DeiTForImageClassificationWithTeacher(
                transformers.DeiTConfig(**shared)
            )
            heads = {'cls_classifier': 'head', 'distillation_classifier': 'head_dist'}
        else:
            model = transformers.ViTForImageClassification(
                transformers.ViTConfig(**shared)
            )
            heads = {'classifier': 'head'}
        patches = backbone.patch_resolution[0] * backbone.patch_resolution[1]
        prefix = 'deit' if distilled else 'vit'
        weights = {
            f'{prefix}.{key}': value
            for key, value in names.vit_as_hugging_face(timm, patches).items()
        }
    for theirs, ours in heads.items():
        for part in ('weight', 'bias'):
            weights[f'{theirs}.{part}'] = timm[f'{ours}.{part}']
    _load(model, weights)
    return model


def _load(model: Any, weights: dict[str, Tensor]) -> None:
    """Load all weights; of the model's, those that follow from others may lack."""
    try:
        found = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes
        reason = str(error).strip().splitlines()[-1].strip()
        raise ConfigError(f'the student does not fit this format: {reason}') from error
    missing = [k for k in found.missing_keys if 'relative_position_index' not in k]
    if missing or found.unexpected_keys:
        raise ConfigError(
            'the student does not fit this format: '
            f'{", ".join([*missing, *found.unexpected_keys][:3])}'
        )


def _steps(metadata: Metadata) -> tuple[Metadata, Metadata] | None:
    """Return the resize and the crop, empty where there is none.

    Returns:
        None if there are other steps, or none at all.
    """
    steps = metadata['preprocessing'] or []
    kinds = [step['step'] for step in steps]
    if kinds == ['resize']:
        return steps[0], {}
    return (steps[0], steps[1]) if kinds == ['resize', 'center_crop'] else None


def _timm_preprocessing(metadata: Metadata) -> dict[str, Any]:
    """Tell timm of the resize and the crop."""
    steps = _steps(metadata)
    if steps is None:
        return {}
    resize, crop = steps
    told = {'interpolation': resize['interpolation'] or 'bilinear'}
    if not crop:
        return {**told, 'crop_pct': 1.0, 'crop_mode': 'squash'}
    if 'short' not in resize:
        return told
    return {**told, 'crop_pct': min(crop['size']) / resize['short']}


def _processor(metadata: Metadata, shape: Shape) -> Any:
    """Make Hugging Face's image processor; None where it can't do the same."""
    import transformers

    steps = _steps(metadata)
    if steps is None:
        return None
    resize, crop = steps
    how = Resampling[(resize['interpolation'] or 'bilinear').upper()]
    shared: dict[str, Any] = {
        'resample': int(how),
        'image_mean': [value / 255 for value in metadata['mean']],
        'image_std': [value / 255 for value in metadata['std']],
    }
    if not crop and 'size' in resize:
        height, width = shape[1:]
        size = {'height': height, 'width': width}
        return transformers.ViTImageProcessor(size=size, **shared)
    if crop and 'short' in resize:
        height, width = crop['size']
        return transformers.CLIPImageProcessor(
            size={'shortest_edge': resize['short']},
            crop_size={'height': height, 'width': width},
            do_convert_rgb=shape[0] == 3,
            **shared,
        )
    return None


WRITERS = {'timm': write_timm, 'huggingface': write_hugging_face}
