import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_grid, check_ratio, conv_relu_conv, on_grid
from .linear_projector import LinearProjector


@MODELS.register_module()
class MGDProjector(BaseModule):
    """Generate the teacher's whole map from a part of the student's.

    `Masked Generative Distillation <https://arxiv.org/abs/2205.01529>`_, as in its
    released code: align the width, set every channel of a sample, or every place of
    its map, to zero by itself with probability ``mask_ratio``, generate by two
    convolutions with a ReLU between them. There is no mask token and no mask to
    return: every token is compared, by ``ViTKDMimicLoss``. The authors mask channels
    in classification, with ``loss_weight=7e-5``, and places on the levels of a
    detector's pyramid, with a ``mask_ratio`` of 0.65 and 2e-5 in one stage. They align
    only where the widths differ; here the layer is always there.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        mask_ratio: Probability that a channel, or a place, is masked, in [0, 1).
            Defaults to the authors' 0.15 for channels.
        masked: ``'channels'`` or ``'places'``. Defaults to ``'channels'``.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If ``mask_ratio`` is outside [0, 1), or ``masked`` is neither.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mask_ratio: float = 0.15,
        masked: str = 'channels',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.mask_ratio = check_ratio(mask_ratio)
        self.masked = check_choice('masked', masked, ('channels', 'places'))
        self.align = LinearProjector(in_channels, out_channels)
        self.generate = conv_relu_conv(out_channels)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Generate the teacher's tokens from what is left of the student's.

        Args:
            x: The student's patch tokens ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.

        Returns:
            ``(B, N, C_out)``.

        Raises:
            ValueError: If the grid does not match the tokens.
        """
        check_grid(hw, x.shape[1])
        x = self.align(x)  # (B, N, C_out)
        batch, tokens, width = x.shape
        each = (tokens, 1) if self.masked == 'places' else (1, width)
        draw = torch.rand(batch, *each, device=x.device)  # (B, N, 1) or (B, 1, C_out)
        x = x.masked_fill(draw < self.mask_ratio, 0)
        return on_grid(self.generate, x, hw)  # (B, N, C_out)
