"""Which unlabelled images resemble those that a ViT was trained with."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import attention_maps, class_attention


def attention_probe(
    qkv: Tensor, num_heads: int, hw: tuple[int, int], head: int | str = 0
) -> Tensor:
    """How much the class token attends to every patch, in one head or their mean.

    Args:
        qkv: ``(B, L, 3C)``; the first token is the class token.
        num_heads: How many heads share the ``C`` channels.
        hw: Grid of the patch tokens, which come last.
        head: Its number from 0 on, or ``'mean'``. Defaults to 0, as in the released
            code of Attention Probe.

    Returns:
        ``(B, N)``, one head's row of its attention map.

    Raises:
        ValueError: If there is no such head, or no class token.
    """
    maps = attention_maps(qkv, num_heads)
    if head != 'mean':
        if not isinstance(head, int) or not 0 <= head < num_heads:
            raise ValueError(
                f"head must be 'mean' or a number from 0 to {num_heads - 1}, "
                f'got {head!r}'
            )
        maps = maps[:, head, None]
    return class_attention(maps, hw).flatten(1)


def evenness(probe: Tensor) -> Tensor:
    """The cosine of an attention and an even one.

    Args:
        probe: ``(B, N)``, none negative.

    Returns:
        ``(B,)``, 1 where all patches get the same, ``1 / sqrt(N)`` where one gets all,
        0 where none gets any.
    """
    length = probe.norm(dim=-1) * math.sqrt(probe.shape[-1])
    return probe.sum(-1) / length.clamp_min(torch.finfo(probe.dtype).tiny)


def uncertainty(logits: Tensor) -> Tensor:
    """The cross-entropy of an answer with itself as a hard label: ``-log max p``.

    Args:
        logits: ``(B, K)``.

    Returns:
        ``(B,)``, 0 where the model is certain, ``log K`` where it has no idea.
    """
    return -F.log_softmax(logits, 1).amax(1)


def selection_score(
    uncertain: Tensor,
    even: Sequence[Tensor],
    output_weight: float = 0.9,
    probe_weight: float = 0.05,
) -> Tensor:
    r"""How little an image resembles the training images, after `Attention Probe:
    Vision Transformer Distillation in the Wild
    <https://github.com/IIGROUP/AttentionProbe>`_.

    .. math::
        s = w_p \sum_l v_l + w_o CE(z, \arg\max z)

    Images of the smallest scores are taken: the model is certain of them, and its class
    token looks at a part of the image.

    Args:
        uncertain: :math:`CE`, ``(B,)``, of :func:`uncertainty`.
        even: :math:`v_l`, ``(B,)`` for each block, of :func:`evenness`.
        output_weight: :math:`w_o`. Defaults to 0.9, as released.
        probe_weight: :math:`w_p`. Defaults to 0.05, as released.

    Returns:
        ``(B,)``.
    """
    return output_weight * uncertain + probe_weight * sum(even)


def smallest(scores: Tensor, count: int) -> Tensor:
    """Return the places of the smallest scores, the smallest first.

    Args:
        scores: ``(M,)``.
        count: How many; all of them, if there are fewer.

    Returns:
        ``(min(M, count),)``; of equal scores, the first in order.

    Raises:
        ValueError: If a score is NaN.
    """
    if scores.isnan().any():
        raise ValueError(f'{int(scores.isnan().sum())} of the scores are NaN')
    return torch.sort(scores, stable=True).indices[:count]
