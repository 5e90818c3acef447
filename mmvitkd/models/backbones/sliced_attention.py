from functools import partial

import torch
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn


class SlicedAttention(MultiheadAttention):
    """MMPretrain's attention with fewer heads, and fewer dimensions of their values."""

    value_dims: list[int]
    qkv: nn.Linear
    proj: nn.Linear

    def set_up(self, value_dims: list[int]) -> None:
        """Make MMPretrain's attention into one of this class, which it became.

        Args:
            value_dims: Of every head; their queries and keys are as they were.
        """
        self.value_dims, self.num_heads = value_dims, len(value_dims)
        values = sum(value_dims)
        width = 2 * self.num_heads * self.head_dims + values
        self.qkv = nn.Linear(self.input_dims, width, self.qkv.bias is not None)
        self.proj = nn.Linear(values, self.embed_dims, self.proj.bias is not None)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        queries = self.num_heads * self.head_dims
        qkv = self.qkv(x)[:, None]  # (B, 1, N, 2 * heads * d + values)
        q, k, *v = qkv.split([queries, queries, *self.value_dims], -1)
        dropout = self.attn_drop if self.training else 0.0
        q, k = q.split(self.head_dims, -1), k.split(self.head_dims, -1)
        attend = partial(self.scaled_dot_product_attention, dropout_p=dropout)
        heads = [attend(*head) for head in zip(q, k, v, strict=True)]
        x = self.proj(torch.cat(heads, -1)[:, 0])
        return self.out_drop(self.gamma1(self.proj_drop(x)))
