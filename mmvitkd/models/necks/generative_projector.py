import logging

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..utils import (
    ROUNDING,
    bernoulli_mask,
    check_choice,
    check_grid,
    check_ratio,
    random_mask,
)
from .linear_projector import LinearProjector

MASKS = {'exact': random_mask, 'bernoulli': bernoulli_mask}


class GenerativeProjector(BaseModule):
    r"""Generate the teacher's last layer from a part of the student's tokens.

    Equations 2 to 4 of `ViTKD <https://arxiv.org/abs/2209.02432>`_, for a
    generative block :math:`\mathcal{G}` that a subclass gives: align the width by a
    linear layer, replace random tokens by a learnable mask token, generate the
    whole map. A subclass builds ``self.generate`` and says in :meth:`_generate` how
    it is run. ``ViTKDGenLoss`` then compares the masked tokens.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        mask_ratio: Share of the tokens that are masked, in [0, 1). At 0 none is, and
            every token is compared. Defaults to 0.5.
        masking: ``'exact'``, the same count in every sample, as in the released
            code, or ``'bernoulli'``, every token by itself with probability
            ``mask_ratio``, as equation 2 has it. Either leaves a sample at least
            one token. Defaults to ``'exact'``.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If ``mask_ratio`` is outside [0, 1), or ``masking`` is neither.
    """

    generate: nn.Module

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mask_ratio: float = 0.5,
        masking: str = 'exact',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.mask_ratio = check_ratio(mask_ratio)
        self.masking = check_choice('masking', masking, tuple(MASKS))
        self._warned = False
        self.align = LinearProjector(in_channels, out_channels)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, out_channels))

    def forward(
        self, x: Tensor, hw: tuple[int, int], mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Generate the teacher's tokens from the student's unmasked ones.

        Args:
            x: The student's patch tokens ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.
            mask: Bool ``(B, N)``, True where a token is replaced; drawn at random
                when None.

        Returns:
            The generated tokens ``(B, N, C_out)`` and the mask ``(B, N)``.

        Raises:
            ValueError: If the grid or the mask does not match the tokens, or no token
                can be masked at a ratio above 0.
        """
        batch, tokens, _ = x.shape
        check_grid(hw, tokens)
        if mask is None:
            self._check_count(tokens)
            mask = MASKS[self.masking](batch, tokens, self.mask_ratio, x.device)
        elif mask.shape != (batch, tokens):
            raise ValueError(
                f'mask must be (B, N) = {(batch, tokens)}, got {tuple(mask.shape)}'
            )
        return self._align_and_generate(x, mask, hw), mask  # (B, N, C_out), (B, N)

    def _check_count(self, tokens: int) -> None:
        """Refuse a ratio at which none of the tokens is masked, warn of a very low one.

        Without a masked token the loss compares all of them, which 0 stands for.
        """
        expected = self.mask_ratio * tokens
        if not 0 < expected < 1:
            return
        name = f'mask_ratio={self.mask_ratio}, {self.masking}, of {tokens} tokens'
        if tokens == 1 or (self.masking == 'exact' and expected < ROUNDING):
            raise ValueError(f'{name} masks none: 0 has every token compared')
        if not self._warned:
            self._warned = True
            print_log(
                f'{name} is less than one: exact masks one in every image, bernoulli '
                f'none in most; from {1 / tokens:.2g} on it is what it says, and 0 has '
                'every token compared',
                logger='current',
                level=logging.WARNING,
            )

    def _align_and_generate(
        self, x: Tensor, mask: Tensor, hw: tuple[int, int]
    ) -> Tensor:
        """Run equations 2 to 4 on ``(B, N, C_in)``, to ``(B, N, C_out)``."""
        x = self.align(x)  # (B, N, C_out)
        x = torch.where(mask[..., None], self.mask_token.to(x.dtype), x)
        return self._generate(x, mask, hw)

    def _generate(self, x: Tensor, mask: Tensor, hw: tuple[int, int]) -> Tensor:
        """Run the generative block, equation 4.

        Args:
            x: ``(B, N, C_out)``, the mask token where ``mask`` is True.
            mask: Bool ``(B, N)``.
            hw: The grid ``(H, W)``.

        Returns:
            ``(B, N, C_out)``.
        """
        raise NotImplementedError
