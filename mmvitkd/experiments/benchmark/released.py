"""ViTKD as its released code formulates it: what the benchmark compares ours with.

Written from the description of that formulation, with its reductions: masking by a
shuffle, every token through both convolutions, the errors of all tokens times the mask.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS


@MODELS.register_module()
class ReleasedMimicLoss(nn.Module):
    """The sum of squares over the batch size."""

    def __init__(self, loss_weight: float = 3e-5) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Compare ``(B, N, C_t)`` with the same shape."""
        error = F.mse_loss(student, teacher, reduction='sum')
        return error / len(student) * self.loss_weight


@MODELS.register_module()
class ReleasedGenerator(nn.Module):
    """Align, shuffle and drop tokens, fill in mask tokens, two convolutions.

    The parameters have the names of ``ConvGenerativeProjector``'s.
    """

    def __init__(
        self, in_channels: int, out_channels: int, mask_ratio: float = 0.5
    ) -> None:
        super().__init__()
        self.mask_ratio = mask_ratio
        self.align = nn.Module()
        self.align.fc = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Linear(in_channels, out_channels)
        )
        self.mask_token = nn.Parameter(torch.zeros(1, 1, out_channels))
        self.generate = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

    def forward(self, x: Tensor, hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Map ``(B, N, C_s)`` to ``(B, N, C_t)`` and the mask, 1 where masked."""
        align: Any = self.align
        x = align.fc(x)
        batch, tokens, channels = x.shape
        kept = int(tokens * (1 - self.mask_ratio))
        shuffle = torch.rand(batch, tokens, device=x.device).argsort(1)
        restore = shuffle.argsort(1)
        index = shuffle[:, :kept, None].expand(-1, -1, channels)
        visible = x.gather(1, index)  # (B, kept, C_t)
        filler = self.mask_token.expand(batch, tokens - kept, -1)
        x = torch.cat([visible, filler], dim=1)
        x = x.gather(1, restore[..., None].expand(-1, -1, channels))  # (B, N, C_t)
        x = x.permute(0, 2, 1).reshape(batch, channels, *hw)
        x = self.generate(x).flatten(2).transpose(1, 2)  # (B, N, C_t)
        return x, (restore >= kept).to(x)


@MODELS.register_module()
class ReleasedGenLoss(nn.Module):
    """The sum of squares where masked, over the batch size and the mask ratio."""

    takes_mask_ratio = True

    def __init__(self, loss_weight: float = 3e-6) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None,
        mask: Tensor,
        mask_ratio: float,
    ) -> Tensor:
        """Compare ``(B, N, C_t)`` with the same shape where ``mask`` is 1."""
        mask = mask[..., None]  # (B, N, 1)
        error = F.mse_loss(student * mask, teacher * mask, reduction='sum')
        return error / len(student) * self.loss_weight / mask_ratio
