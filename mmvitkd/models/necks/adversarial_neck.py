from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count, check_grid, resample_tokens
from .groupwise_linear_neck import GroupwiseLinearNeck


@MODELS.register_module()
class AdversarialNeck(BaseModule):
    """Features that a discriminator tells from the teacher's, as in `Cross-Architecture
    Knowledge Distillation <https://arxiv.org/abs/2207.05273>`_.

    :class:`GroupwiseLinearNeck` maps the student's, and a perceptron of three layers
    :math:`D` judges every token of both sides. On the way back from :math:`D`, the
    student's gradient is reversed: while the loss below teaches :math:`D` to tell
    the sides apart, it teaches the student not to be told, in one backward pass of one
    optimiser. :class:`AdversarialFeatureLoss` compares the features, and has the
    verdicts in the last channel.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        hidden_channels: Of the discriminator. Defaults to 256; the paper's is not
            known.
        init_cfg: MMEngine's initialisation config. Defaults to None.
        kwargs: As for :class:`GroupwiseLinearNeck`.
    """

    two_sided = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int = 256,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(init_cfg)
        hidden = check_count('hidden_channels', hidden_channels)
        self.projector = GroupwiseLinearNeck(in_channels, out_channels, **kwargs)
        self.discriminator = nn.Sequential(
            nn.Linear(out_channels, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
        )

    def forward(
        self, x: Tensor, hw: tuple[int, int], t: Tensor, hw_t: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Map the student's tokens, and judge both sides.

        Args:
            x: The student's patch tokens, or map, ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.
            t: The teacher's, ``(B, M, C_out)``, which are resampled to this grid.
            hw_t: Their grid.

        Returns:
            Features and logits of being the teacher's, in a row, of the student and of
            the teacher, ``(B, N, C_out + 1)``.

        Raises:
            ValueError: If a grid does not match its tokens.
        """
        check_grid(hw_t, t.shape[1])
        s = self.projector(x, hw)  # (B, N, C_out)
        t = resample_tokens(t, hw_t, hw).to(s.dtype)
        verdict_s = self.discriminator(ReverseGradient.apply(s))  # (B, N, 1)
        verdict_t = self.discriminator(t)
        return torch.cat([s, verdict_s], -1), torch.cat([t, verdict_t], -1)


class ReverseGradient(torch.autograd.Function):
    """The identity, whose gradient has the other sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        return -outer[0]
