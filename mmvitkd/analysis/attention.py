"""Attention maps, recomputed from queries, keys and values."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def attention_maps(qkv: Tensor, num_heads: int) -> Tensor:
    r"""Softmax attention, :math:`softmax(Q K^\top / \sqrt{d})`.

    Args:
        qkv: ``(B, N, 3C)``, queries, keys and values, as a fused linear yields them.
        num_heads: How many heads share the ``C`` channels.

    Returns:
        ``(B, h, N, N)``, query by key; every row sums to one.

    Raises:
        ValueError: If the channels are no threefold of the heads.
    """
    q, k, _ = _split_heads(qkv, num_heads)
    return (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)


def attend(qkv: Tensor, num_heads: int) -> Tensor:
    """Mix the values by the attention maps: what goes into the output projection.

    Args:
        qkv: ``(B, N, 3C)``.
        num_heads: How many heads share the ``C`` channels.

    Returns:
        ``(B, N, C)``.

    Raises:
        ValueError: If the channels are no threefold of the heads.
    """
    v = _split_heads(qkv, num_heads)[2]
    return (attention_maps(qkv, num_heads) @ v).transpose(1, 2).flatten(2)


def mean_attention(maps: Tensor) -> Tensor:
    """Average over images and heads, as figures 1 and 4 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_ do.

    Args:
        maps: ``(B, h, N, N)``.

    Returns:
        ``(N, N)``, query by key.
    """
    return maps.mean(dim=(0, 1))


def diagonal_ratio(maps: Tensor) -> Tensor:
    """How much more a token attends to itself than to the average token.

    Args:
        maps: ``(B, h, N, N)``.

    Returns:
        The mean over images, heads and tokens: 1 where attention is even, ``N`` where
        every token sees only itself.
    """
    return maps.diagonal(dim1=-2, dim2=-1).mean() * maps.shape[-1]


def effective_keys(maps: Tensor) -> Tensor:
    """How many tokens the queries of an image share as keys.

    It is the exponential of the entropy of the mean over queries, so that few bright
    columns make a small number.

    Args:
        maps: ``(B, h, N, N)``.

    Returns:
        The mean over images and heads, from 1 to ``N``.
    """
    keys = maps.mean(dim=-2)  # (B, h, N)
    return torch.special.entr(keys).sum(dim=-1).exp().mean()


def class_attention(maps: Tensor, hw: tuple[int, int]) -> Tensor:
    """Where the class token looks: its row of the mean over heads, on the grid.

    Args:
        maps: ``(B, h, N, N)``, or a rollout ``(B, N, N)``; the first token is the
            class token.
        hw: Grid of the patch tokens, which come last.

    Returns:
        ``(B, H, W)``, without the share that goes to the extra tokens, so that an
        image sums to at most one.

    Raises:
        ValueError: If there is no token beside those of the grid.
    """
    if maps.ndim == 4:
        maps = maps.mean(dim=1)
    patches = hw[0] * hw[1]
    if maps.shape[-1] <= patches:
        raise ValueError(
            f'{maps.shape[-1]} tokens on a {hw[0]}x{hw[1]} grid: there is no class '
            'token whose attention could be shown'
        )
    return maps[:, 0, -patches:].unflatten(-1, hw)


def attention_rollout(maps: Sequence[Tensor]) -> Tensor:
    r"""Attention through all layers, `Abnar & Zuidema
    <https://arxiv.org/abs/2005.00928>`_.

    .. math::
        \tilde A_l = (\tfrac12 A_l + \tfrac12 I) \tilde A_{l-1}

    ``A`` is the mean over heads. The residual connection is counted as an identity
    of the same weight as the attention, as the authors do, whatever the norms of the
    two branches are.

    Args:
        maps: One ``(B, h, N, N)`` a layer, shallow to deep.

    Returns:
        ``(B, N, N)``, how much every input token (column) reaches every output token
        (row); every row sums to one.

    Raises:
        ValueError: If there are no layers.
    """
    if not maps:
        raise ValueError('rollout needs at least one layer of attention maps')
    rolled = torch.eye(maps[0].shape[-1]).to(maps[0])
    for layer in maps:
        mixed = (layer.mean(dim=1) + torch.eye(layer.shape[-1]).to(layer)) / 2
        rolled = mixed @ rolled  # (B, N, N)
    return rolled


def _split_heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """``(B, N, 3C)`` to three ``(B, h, N, C / h)``."""
    if qkv.ndim != 3 or qkv.shape[-1] % (3 * num_heads):
        raise ValueError(
            f'queries, keys and values must be (B, N, 3C) with C divisible by '
            f'num_heads={num_heads}, got {tuple(qkv.shape)}'
        )
    q, k, v = qkv.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v
