import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_grid, check_heads, check_share, on_grid, resample_tokens

PARTS = 3  # queries, keys, values


@MODELS.register_module()
class PartialCrossAttentionNeck(BaseModule):
    r"""Attention of a map that is partly the teacher's, from `Cross-Architecture
    Knowledge Distillation <https://arxiv.org/abs/2207.05273>`_.

    .. math::
        A^S = softmax\Big(\frac{g(Q^S) \, g(K^S)^\top}{\sqrt d}\Big) g(V^S)

    :math:`Q^S, K^S, V^S` are a 3x3 convolution each of the student's map, brought to
    the teacher's grid, and :math:`g` replaces each of their numbers by the teacher's
    with a probability, in training only. The teacher's tap is ``attn.qkv``, whose patch
    tokens are taken: its attention is computed again without class token, biases of
    position and the projection behind it. A Swin's is right only where one window is
    the whole map, as in the last stage.

    :class:`PartialCrossAttentionLoss` compares what this returns, attention and values
    in a row. Every head counts as one of the batch, so that its values are related by
    themselves, too.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The width of the teacher's queries, keys and values together;
            inferred by the distiller.
        num_heads: :math:`d` is the width of one. Defaults to 1, the paper's equation;
            the teacher's own number makes :math:`A^T` what it computes.
        prob: Of a number being the teacher's. Defaults to 0.5, the paper's.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If the teacher's width is not that of three parts, or can't be cut
            into the heads, or ``prob`` is none.
    """

    two_sided = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_heads: int = 1,
        prob: float = 0.5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if out_channels % PARTS:
            raise ValueError(
                f"the teacher's width {out_channels} is not that of queries, keys and "
                "values, 3 * C: tap its '....attn.qkv'"
            )
        self.num_heads = check_heads(num_heads, out_channels // PARTS)
        self.prob = check_share('prob', prob)
        self.qkv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(
        self, x: Tensor, hw: tuple[int, int], t: Tensor, hw_t: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Attend on both sides.

        Args:
            x: The student's patch tokens, or map, ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.
            t: The teacher's queries, keys and values, ``(B, M, 3 * C)``.
            hw_t: Their grid.

        Returns:
            Attention and values of the student and of the teacher,
            ``(B * heads, M, 2 * d)``.

        Raises:
            ValueError: If a grid does not match its tokens.
        """
        check_grid(hw, x.shape[1])
        check_grid(hw_t, t.shape[1])
        s = resample_tokens(on_grid(self.qkv, x, hw), hw, hw_t)  # (B, M, 3 * C)
        t = t.to(s.dtype)
        crossed = s
        if self.training:
            crossed = torch.where(torch.rand_like(s) < self.prob, t, s)
        return self._join(crossed, s), self._join(t, t)

    def _join(self, qkv: Tensor, own: Tensor) -> Tensor:
        """Put the attention of ``qkv`` and the values of ``own`` in a row."""
        q, k, v = self._split(qkv)
        attention = F.scaled_dot_product_attention(q, k, v)  # (B * heads, M, d)
        return torch.cat([attention, self._split(own)[2]], -1)

    def _split(self, qkv: Tensor) -> Tensor:
        """Cut ``(B, M, 3 * C)`` into ``(3, B * heads, M, d)``."""
        x = qkv.unflatten(2, (PARTS, self.num_heads, -1))
        return x.permute(2, 0, 3, 1, 4).flatten(1, 2)
