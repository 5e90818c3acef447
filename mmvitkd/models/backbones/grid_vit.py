from typing import Any

import torch
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor


class GridLayer(TransformerEncoderLayer):
    """MMPretrain's layer, whose attention asks for the grid."""

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Map ``(B, T + N, C)`` and the grid to ``(B, T + N, C)``."""
        x = x + self.attn(self.ln1(x), hw)
        return self.ffn(self.ln2(x), identity=x)


class GridViT(VisionTransformer):
    """MMPretrain's ViT, whose first ``grid_layers`` layers are told the grid.

    A base of those whose attention asks where its tokens lie.
    """

    grid_layers: int

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        """Map images ``(B, 3, H, W)`` to what ``out_type`` says.

        Upstream's own forward, with the grid for the layers that ask for it.
        """
        x, hw = self.patch_embed(x)  # (B, N, C)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), 1)
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
            x = layer(x, hw) if i < self.grid_layers else layer(x)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, hw))
        return tuple(outs)
