from typing import Any

from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import conv_relu_conv, on_grid
from .generative_projector import GenerativeProjector


class _ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` on a map.

    Without normalisation, as in the conv projector, and without a ReLU behind the
    sum, since a teacher's features have either sign.

    Args:
        channels: The width.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = conv_relu_conv(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return x + self.convs(x)


@MODELS.register_module()
class ResidualGenerativeProjector(GenerativeProjector):
    """Generate the teacher's last layer by two residual blocks of convolutions.

    A variant of the generative block of `ViTKD <https://arxiv.org/abs/2209.02432>`_
    that its section 5.4 leaves out: twice the convolutions of
    :class:`ConvGenerativeProjector`, with shortcuts.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        args: As for :class:`GenerativeProjector`.
        kwargs: As for :class:`GenerativeProjector`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, out_channels, *args, **kwargs)
        self.generate = nn.Sequential(
            _ResidualBlock(out_channels), _ResidualBlock(out_channels)
        )

    def _generate(self, x: Tensor, mask: Tensor, hw: tuple[int, int]) -> Tensor:
        return on_grid(self.generate, x, hw)
