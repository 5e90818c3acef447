from typing import Any

import torch
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count, on_grid
from .generative_projector import GenerativeProjector


class _DenseBlock(nn.Module):
    """Convolutions, each of which sees the input and all outputs before its own.

    Args:
        channels: Width of the input and of the result.
        growth: Channels that each convolution adds.
        num_layers: How many convolutions.
    """

    def __init__(self, channels: int, growth: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth, 3, padding=1)
            for i in range(num_layers)
        )
        self.fuse = nn.Conv2d(channels + num_layers * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], dim=1)  # (B, C + i * growth, H, W)
        return self.fuse(x)


@MODELS.register_module()
class DenseGenerativeProjector(GenerativeProjector):
    """Generate the teacher's last layer by a densely connected block.

    The generative block of `ViTKD <https://arxiv.org/abs/2209.02432>`_ replaced by
    one in the manner of `DenseNet <https://arxiv.org/abs/1608.06993>`_: every 3x3
    convolution adds channels to all that came before it, and a 1x1 convolution
    brings them back to the teacher's width. As in the paper's conv projector, and
    unlike in DenseNet, there is no normalisation.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        args: As for :class:`GenerativeProjector`.
        growth: Channels that a convolution adds. None stands for half of the
            teacher's width, rounded up. Defaults to None.
        num_layers: How many 3x3 convolutions. Defaults to 2, as the conv projector.
        kwargs: As for :class:`GenerativeProjector`.

    Raises:
        ValueError: If ``growth`` or ``num_layers`` is not above 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *args: Any,
        growth: int | None = None,
        num_layers: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, *args, **kwargs)
        growth = (out_channels + 1) // 2 if growth is None else growth
        check_count('growth', growth)
        check_count('num_layers', num_layers)
        self.generate = _DenseBlock(out_channels, growth, num_layers)

    def _generate(self, x: Tensor, mask: Tensor, hw: tuple[int, int]) -> Tensor:
        return on_grid(self.generate, x, hw)
