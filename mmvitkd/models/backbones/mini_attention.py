import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn

from .image_rpe import ImageRPE
from .weight_sharing import init_head_transform


class MiniAttention(MultiheadAttention):
    """MMPretrain's attention, with maps over heads before and after the softmax.

    The logits get relative positions before. Both, and the maps, are a layer's own,
    where its weights may be shared.
    """

    identity_init: bool

    def set_up(self, rpe_ratio: float, identity_init: bool) -> None:
        """Make MMPretrain's attention into one of this class, which it became.

        Args:
            rpe_ratio: As for ``MiniDeiT``.
            identity_init: See there.
        """
        self.identity_init = identity_init
        self.rpe = ImageRPE(self.head_dims, rpe_ratio)
        self.proj_l, self.proj_w = (
            nn.Conv2d(self.num_heads, self.num_heads, 1, bias=False) for _ in range(2)
        )

    def init_weights(self) -> None:
        """Begin the maps over heads as ``identity_init`` says."""
        super().init_weights()
        for transform in (self.proj_l, self.proj_w):
            init_head_transform(transform, self.identity_init)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Map ``(B, N, C)`` and the grid to ``(B, N, C)``."""
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, N, C / heads) each
        q = q * self.head_dims**-0.5
        logits = q @ k.transpose(-2, -1) + self.rpe(q, hw)  # (B, heads, N, N)
        weights = self.proj_w(self.proj_l(logits).softmax(-1))
        weights = F.dropout(weights, self.attn_drop, self.training)
        x = self.proj((weights @ v).transpose(1, 2).flatten(2))
        return self.out_drop(self.gamma1(self.proj_drop(x)))
