from typing import Any

from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import conv_relu_conv, on_grid
from .generative_projector import GenerativeProjector


@MODELS.register_module()
class ConvGenerativeProjector(GenerativeProjector):
    """The conv projector that generates the teacher's last layer.

    The generative block that `ViTKD <https://arxiv.org/abs/2209.02432>`_ chose (the
    best of its table 7): two convolutions on the grid, with a ReLU between them.

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
        self.generate = conv_relu_conv(out_channels)

    def _generate(self, x: Tensor, mask: Tensor, hw: tuple[int, int]) -> Tensor:
        return on_grid(self.generate, x, hw)
