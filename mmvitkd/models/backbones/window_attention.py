import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.vit_sam import (
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn


class WindowAttention(MultiheadAttention):
    """MMPretrain's attention on a map of tokens, within windows or over all of it.

    The parameters are MMPretrain's, so a classifier's weights fit; relative
    positions come on top. Tokens that fill up the last windows take part, as zeros,
    like in the code of ViTDet.
    """

    window_size: int
    rel_pos: bool

    def set_up(
        self, window_size: int, size: tuple[int, int], rel_pos: bool = False
    ) -> None:
        """Make MMPretrain's attention into one of this class, which it became.

        Args:
            window_size: Tokens along a window's side; 0 for attention over the map.
            size: Tokens along the sides of what is attended to, which the number of
                relative positions follows.
            rel_pos: Add decomposed relative positions, which begin at zero.
                Defaults to False.
        """
        self.window_size = window_size
        self.rel_pos = rel_pos
        if rel_pos:
            height, width = (2 * n - 1 for n in size)
            weight = self.qkv.weight
            self.rel_pos_h = nn.Parameter(weight.new_zeros(height, self.head_dims))
            self.rel_pos_w = nn.Parameter(weight.new_zeros(width, self.head_dims))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, H, W, C)`` to ``(B, H, W, C)``."""
        if self.window_size:
            hw = x.shape[1:3]
            x, padded = window_partition(x, self.window_size)  # (B * windows, w, w, C)
            x = window_unpartition(self.attend(x), self.window_size, padded, hw)
        else:
            x = self.attend(x)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))

    def attend(self, x: Tensor) -> Tensor:
        """Let all tokens of each map ``(B, H, W, C)`` attend to each other."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, C / heads) each
        bias = self.positions(q, height, width) if self.rel_pos else None
        dropout = self.attn_drop if self.training else 0.0
        x = F.scaled_dot_product_attention(q, k, v, bias, dropout)
        return x.transpose(1, 2).reshape(batch, height, width, -1)

    def positions(self, q: Tensor, height: int, width: int) -> Tensor:
        """Compute what the relative positions add to the logits of attention.

        A row's and a column's embedding, each times the query. Those of another
        size are interpolated.

        Returns:
            ``(B, heads, N, N)``.
        """
        q = q.unflatten(2, (height, width))  # (B, heads, H, W, C / heads)
        rows = get_rel_pos(height, height, self.rel_pos_h)  # (H, H, C / heads)
        columns = get_rel_pos(width, width, self.rel_pos_w)  # (W, W, C / heads)
        by_row = torch.einsum('bnhwc,hkc->bnhwk', q, rows)
        by_column = torch.einsum('bnhwc,wkc->bnhwk', q, columns)
        bias = by_row[..., :, None] + by_column[..., None, :]  # (B, heads, H, W, H, W)
        return bias.flatten(4).flatten(2, 3)
