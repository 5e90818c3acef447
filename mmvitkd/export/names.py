"""A ViT's or Swin's weights under timm's names, and under Hugging Face's."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmvitkd.utils.errors import ConfigError

Weights = Mapping[str, Tensor]
Rules = tuple[tuple[str, str], ...]

BLOCK: Rules = (
    (r'(?<=\.)ffn\.layers\.0\.0\.', 'mlp.fc1.'),
    (r'(?<=\.)ffn\.layers\.1\.', 'mlp.fc2.'),
)
VIT: Rules = (
    (r'^backbone\.(cls_token|dist_token|pos_embed)$', r'\1'),
    (r'^backbone\.patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^backbone\.layers\.(\d+)\.attn\.gamma1\.weight$', r'blocks.\1.ls1.gamma'),
    (r'^backbone\.layers\.(\d+)\.ffn\.gamma2\.weight$', r'blocks.\1.ls2.gamma'),
    (r'^backbone\.layers\.(\d+)\.ln([12])\.', r'blocks.\1.norm\2.'),
    (r'^backbone\.layers\.(\d+)\.(?=attn\.|ffn\.)', r'blocks.\1.'),
    (r'^backbone\.ln1\.', 'norm.'),
    (r'^head\.layers\.(head|head_dist)\.', r'\1.'),
    *BLOCK,
)
SWIN: Rules = (
    (r'^backbone\.patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^backbone\.patch_embed\.norm\.', 'patch_embed.norm.'),
    (r'^backbone\.stages\.(\d+)\.(?=blocks\.|downsample\.)', r'layers.\1.'),
    (r'(?<=\.)attn\.w_msa\.', 'attn.'),
    (r'^backbone\.norm\d+\.', 'norm.'),
    (r'^head\.fc\.', 'head.fc.'),
    *BLOCK,
)
# Hugging Face's, from timm's; the query, key and value are apart
HF_VIT: Rules = (
    ('^cls_token$', 'embeddings.cls_token'),
    ('^dist_token$', 'embeddings.distillation_token'),
    ('^pos_embed$', 'embeddings.position_embeddings'),
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
    (r'^blocks\.(\d+)\.attn\.proj\.', r'encoder.layer.\1.attention.output.dense.'),
    (r'^blocks\.(\d+)\.attn\.', r'encoder.layer.\1.attention.attention.'),
    (r'^blocks\.(\d+)\.norm1\.', r'encoder.layer.\1.layernorm_before.'),
    (r'^blocks\.(\d+)\.norm2\.', r'encoder.layer.\1.layernorm_after.'),
    (r'^blocks\.(\d+)\.mlp\.fc1\.', r'encoder.layer.\1.intermediate.dense.'),
    (r'^blocks\.(\d+)\.mlp\.fc2\.', r'encoder.layer.\1.output.dense.'),
    (r'^norm\.', 'layernorm.'),
)
HF_SWIN: Rules = (
    (r'^patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
    (r'^patch_embed\.norm\.', 'embeddings.norm.'),
    (r'^layers\.(\d+)\.downsample\.', r'encoder.layers.\1.downsample.'),
    (
        r'^layers\.(\d+)\.blocks\.(\d+)\.attn\.proj\.',
        r'encoder.layers.\1.blocks.\2.attention.output.dense.',
    ),
    (
        r'^layers\.(\d+)\.blocks\.(\d+)\.attn\.',
        r'encoder.layers.\1.blocks.\2.attention.self.',
    ),
    (
        r'^layers\.(\d+)\.blocks\.(\d+)\.norm1\.',
        r'encoder.layers.\1.blocks.\2.layernorm_before.',
    ),
    (
        r'^layers\.(\d+)\.blocks\.(\d+)\.norm2\.',
        r'encoder.layers.\1.blocks.\2.layernorm_after.',
    ),
    (
        r'^layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.',
        r'encoder.layers.\1.blocks.\2.intermediate.dense.',
    ),
    (
        r'^layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.',
        r'encoder.layers.\1.blocks.\2.output.dense.',
    ),
    (r'^norm\.', 'layernorm.'),
)


def vit_as_timm(weights: Weights) -> dict[str, Tensor]:
    """Rename a ``VisionTransformer``, distilled or not, or a ``DeiT3``.

    Raises:
        ConfigError: If a weight has no place in timm's.
    """
    return _renamed(weights, VIT)


def swin_as_timm(weights: Weights) -> dict[str, Tensor]:
    """Rename a ``SwinTransformer``; timm merges patches before a stage, not after it.

    Raises:
        ConfigError: If a weight has no place in timm's.
    """
    kept = {k: v for k, v in weights.items() if 'relative_position_index' not in k}
    found = {}
    for key, value in _renamed(kept, SWIN).items():
        stage = re.match(r'^layers\.(\d+)\.downsample\.', key)
        if stage is not None:
            key = f'layers.{int(stage[1]) + 1}{key[stage.end(1) :]}'
            value = _patches_in_their_order(value)
        found[key] = value
    return found


def vit_as_hugging_face(timm: Weights, patches: int) -> dict[str, Tensor]:
    """Rename what :func:`vit_as_timm` made, without a classifier.

    Layer scale, which these models lack, is multiplied into the weights before it. A
    DeiT III has no position for its class token; here it is zero.

    Args:
        timm: The weights.
        patches: How many an image has.
    """
    found = dict(timm)
    for key in [key for key in found if '.ls' in key]:
        block, _, which = key.removesuffix('.gamma').rpartition('.ls')
        layer = f'{block}.{"attn.proj" if which == "1" else "mlp.fc2"}'
        gamma = found.pop(key)
        found[f'{layer}.weight'] = found[f'{layer}.weight'] * gamma[:, None]
        found[f'{layer}.bias'] = found[f'{layer}.bias'] * gamma
    positions = found['pos_embed']
    if positions.shape[1] == patches:
        none = torch.zeros_like(positions[:, :1])
        found['pos_embed'] = torch.cat((none, positions), 1)
    return _renamed(_split(_without_heads(found)), HF_VIT)


def swin_as_hugging_face(timm: Weights) -> dict[str, Tensor]:
    """Rename what :func:`swin_as_timm` made, without a classifier."""
    found = {}
    for key, value in _split(_without_heads(timm)).items():
        stage = re.match(r'^layers\.(\d+)\.downsample\.', key)
        if stage is not None:
            key = f'layers.{int(stage[1]) - 1}{key[stage.end(1) :]}'
        found[key] = value
    return _renamed(found, HF_SWIN)


def _renamed(weights: Weights, rules: Rules) -> dict[str, Tensor]:
    found = {}
    for key, value in weights.items():
        name, changes = key, 0
        for pattern, by in rules:
            name, count = re.subn(pattern, by, name)
            changes += count
        if not changes:
            raise ConfigError(f"the student's '{key}' has no place in this format")
        found[name] = value
    return found


def _without_heads(timm: Weights) -> dict[str, Tensor]:
    return {k: v for k, v in timm.items() if not k.startswith('head')}


def _split(timm: Weights) -> dict[str, Tensor]:
    """Take the query, the key and the value apart."""
    found = {}
    for key, value in timm.items():
        before, qkv, after = key.partition('attn.qkv.')
        if not qkv:
            found[key] = value
            continue
        for name, part in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
            found[f'{before}attn.{name}.{after}'] = part
    return found


def _patches_in_their_order(value: Tensor) -> Tensor:
    """Undo MMCV's order of four patches that are merged.

    ``nn.Unfold`` has a channel's four patches side by side, row by row; Swin's own code
    the channels of a patch, column by column.

    Args:
        value: ``(..., 4 * C)``, of the merging's norm or its linear layer.
    """
    whole = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return whole[..., [0, 2, 1, 3], :].flatten(-2)
