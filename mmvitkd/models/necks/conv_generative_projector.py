import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import random_mask
from .linear_projector import LinearProjector


@MODELS.register_module()
class ConvGenerativeProjector(BaseModule):
    """The conv projector that generates the teacher's last layer.

    Equations 2 to 4 of `ViTKD <https://arxiv.org/abs/2209.02432>`_: align the
    width by a linear layer, replace random tokens by a learnable mask token, and
    generate the whole map by two convolutions on the grid.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        mask_ratio: Share of the tokens that are masked in every sample, an exact
            count as in the released code, in [0, 1). Defaults to 0.5.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If ``mask_ratio`` is outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mask_ratio: float = 0.5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= mask_ratio < 1:
            raise ValueError(f'mask_ratio must be in [0, 1), got {mask_ratio}')
        self.mask_ratio = mask_ratio
        self.align = LinearProjector(in_channels, out_channels)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, out_channels))
        self.generate = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

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
            ValueError: If the grid or the mask does not match the tokens.
        """
        batch, tokens, _ = x.shape
        if hw is None or hw[0] * hw[1] != tokens:
            raise ValueError(
                f'a grid {hw} does not match {tokens} patch tokens: H * W must be N'
            )
        if mask is None:
            mask = random_mask(batch, tokens, self.mask_ratio, x.device)
        elif mask.shape != (batch, tokens):
            raise ValueError(
                f'mask must be (B, N) = {(batch, tokens)}, got {tuple(mask.shape)}'
            )
        x = self.align(x)  # (B, N, C_out)
        x = torch.where(mask[..., None], self.mask_token.to(x.dtype), x)
        x = x.transpose(1, 2).unflatten(2, hw)  # (B, C_out, H, W)
        x = self.generate(x).flatten(2).transpose(1, 2)  # (B, N, C_out)
        return x, mask
