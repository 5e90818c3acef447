from typing import Any

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from mmvitkd.registry import MODELS

from .conv_attention import ConvAttention
from .extra_token_vit import ExtraTokenViT


class ConvAttentionLayer(TransformerEncoderLayer):
    """MMPretrain's layer, whose attention asks for the grid."""

    attn: ConvAttention

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Map ``(B, T + N, C)`` and the grid to ``(B, T + N, C)``."""
        x = x + self.attn(self.ln1(x), hw)
        return self.ffn(self.ln2(x), identity=x)


@MODELS.register_module()
class ConvAttentionViT(ExtraTokenViT):
    """A ViT with a distillation token, whose first layers can act as convolutions.

    The student of `DearKD: Data-Efficient Early Knowledge Distillation for Vision
    Transformers <https://arxiv.org/abs/2204.12997>`_, whose code is not public: how
    its attention combines content and place, in how many layers, and how it begins
    are choices made here, see :class:`ConvAttention`.

    Args:
        *args: As for ``VisionTransformer``.
        conv_layers: How many of the first layers have it. Defaults to 4.
        position_drop: Part of the attention by place that is dropped in training, so
            that a layer does not become all local. Defaults to 0.1.
        **kwargs: As for ``VisionTransformer``.

    Raises:
        ValueError: If there are not as many layers, or ``position_drop`` is no part.
    """

    def __init__(
        self,
        *args: Any,
        conv_layers: int = 4,
        position_drop: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, extra_tokens=1, **kwargs)
        if not 0 <= conv_layers <= self.num_layers:
            raise ValueError(
                f'conv_layers must be from 0 to the {self.num_layers} layers, got '
                f'{conv_layers}'
            )
        if not 0 <= position_drop < 1:
            raise ValueError(f'position_drop must be in [0, 1), got {position_drop}')
        self.conv_layers = conv_layers
        for layer in self.layers[:conv_layers]:
            # upstream's constructor names these classes: only forward differs
            layer.__class__ = ConvAttentionLayer
            layer.attn.__class__ = ConvAttention
            layer.attn.set_up(position_drop)

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        """Map images ``(B, 3, H, W)`` to what ``out_type`` says, by default two tokens.

        Upstream's own forward, with the grid for the layers that ask for it.
        """
        x, hw = self.patch_embed(x)  # (B, N, C)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1)
        x = x + resize_pos_embed(
            self.pos_embed,
            self.patch_resolution,
            hw,
            self.interpolate_mode,
            self.num_extra_tokens,
        )
        x = self.pre_norm(self.drop_after_pos(x))
        outs = []
        for i, layer in enumerate(self.layers):
            x = layer(x, hw) if i < self.conv_layers else layer(x)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, hw))
        return tuple(outs)
