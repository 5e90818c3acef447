import math

import torch
from torch import Tensor, nn


class ImageRPE(nn.Module):
    r"""What relative positions on a map add to the logits of attention, by content.

    Of `Rethinking and Improving Relative Position Encoding for Vision Transformer
    <https://arxiv.org/abs/2107.14222>`_ (iRPE) that on keys, contextual, by the product
    method and shared by heads:

    .. math::
        b_{ij} = q_i \cdot p_{I(y_i - y_j), I(x_i - x_j)}

    The index :math:`I` (its equation 18) tells near offsets apart, and puts far ones
    together; a vector :math:`p` is learned for every pair. They begin at zero.

    Args:
        head_dims: Width of a head.
        ratio: Its :math:`\alpha`; :math:`\beta` is twice as large, :math:`\gamma` eight
            times.
    """

    def __init__(self, head_dims: int, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.reach = int(2 * ratio)
        self.table = nn.Parameter(torch.zeros(head_dims, (2 * self.reach + 1) ** 2))

    def forward(self, q: Tensor, hw: tuple[int, int]) -> Tensor:
        """Compute the terms for scaled queries ``(B, heads, N, C / heads)``.

        Returns:
            ``(B, heads, N, N)``.
        """
        buckets = self.buckets(hw, q.device).expand(*q.shape[:2], -1, -1)
        return (q @ self.table).gather(-1, buckets)  # of (B, heads, N, buckets)

    def buckets(self, hw: tuple[int, int], device: torch.device) -> Tensor:
        """Return the column of the table for each query and key, ``(N, N)``."""
        rows, columns = (self._indices(length, device) for length in hw)
        both = rows[:, None, :, None] * (2 * self.reach + 1) + columns[None, :, None]
        return both.flatten(2).flatten(0, 1)  # of (H, W, H, W)

    def _indices(self, length: int, device: torch.device) -> Tensor:
        """Return ``I`` of all offsets along a side, ``(length, length)``, from 0 on."""
        place = torch.arange(length, device=device)
        offset = (place[:, None] - place).float()
        far = offset.abs().clamp(min=self.ratio)
        far = self.ratio * (1 + (far / self.ratio).log() / math.log(8))
        far = far.round().clamp(max=self.reach)
        index = torch.where(offset.abs() <= self.ratio, offset, offset.sign() * far)
        return index.long() + self.reach
