from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from mmvitkd.registry import MODELS

from .cross_bias_embed import STEMS, CrossBiasEmbed
from .extra_token_vit import ExtraTokenViT


@MODELS.register_module()
class CrossBiasViT(ExtraTokenViT):
    """The student of `Co-advise: Cross Inductive Bias Distillation
    <https://arxiv.org/abs/2106.12378>`_.

    Two stems see the image, one of convolutions and one with an involution, and a
    patch is the sum of what they make of it. After the class token come two tokens,
    the mean over the patches of either stem: functions of the image where DeiT's
    distillation token is a parameter. The position embedding is added to all of them.

    ``ExtraTokenClsHead(extra_tokens=('conv', 'inv'))`` is its head. With
    ``stems=('conv',)`` it is the student of `VkD <https://arxiv.org/abs/2403.06213>`_.

    Args:
        arch: As for ``VisionTransformer``. Defaults to ``'deit-tiny'``.
        img_size: Size of the images ``(H, W)``, or of square ones; others work, their
            positions are interpolated. Defaults to 224.
        patch_size: Even, since the stems halve the image before it is cut into
            patches. Defaults to 16.
        in_channels: Of the image. Defaults to 3.
        stem_channels: Of the stems, a multiple of 32. Defaults to 64.
        stems: Which there are, and the order of their tokens. Defaults to
            ``('conv', 'inv')``.
        **kwargs: As for ``VisionTransformer``.

    Raises:
        ValueError: If ``patch_size`` is odd, ``stem_channels`` no multiple of 32, or a
            stem unknown or named twice.
    """

    def __init__(
        self,
        arch: str | dict[str, int] = 'deit-tiny',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        *,
        stem_channels: int = 64,
        stems: Sequence[str] = ('conv', 'inv'),
        **kwargs: Any,
    ) -> None:
        if patch_size % 2 or stem_channels % 32:
            raise ValueError(
                'the stems need an even patch_size and a multiple of 32 as '
                f'stem_channels, got {patch_size} and {stem_channels}'
            )
        if not 0 < len({*stems} & {*STEMS}) == len(stems):
            raise ValueError(f'stems must be some of {[*STEMS]}, got {stems!r}')
        extra = len(stems)
        super().__init__(
            arch, img_size, patch_size, in_channels, extra_tokens=extra, **kwargs
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.patch_embed = CrossBiasEmbed(
            img_size,
            patch_size,
            in_channels,
            stem_channels,
            self.embed_dims,
            tuple(stems),
        )
