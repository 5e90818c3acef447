from typing import Any

import torch
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import conv_relu_conv, on_grid
from .generative_projector import GenerativeProjector
from .sparse_convs import sparse_conv_relu_conv


@MODELS.register_module()
class ConvGenerativeProjector(GenerativeProjector):
    """The conv projector that generates the teacher's last layer.

    The generative block that `ViTKD <https://arxiv.org/abs/2209.02432>`_ chose (the
    best of its table 7): two convolutions on the grid, with a ReLU between them.

    Since the loss compares only the masked tokens, the others come out as zeros,
    unless no token is masked at all. ``sparse`` then leaves out what no masked token
    needs, and what is the same for every mask token: of the first convolution the
    products with visible tokens remain, of the second those of masked places, half
    of either at a mask ratio of 0.5. The result is the same to rounding.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        args: As for :class:`GenerativeProjector`.
        sparse: Whether to do so. None means on CPUs, where it was measured to pay.
            Defaults to None.
        kwargs: As for :class:`GenerativeProjector`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *args: Any,
        sparse: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, *args, **kwargs)
        self.generate = conv_relu_conv(out_channels)
        self.sparse = sparse

    def _align_and_generate(
        self, x: Tensor, mask: Tensor, hw: tuple[int, int]
    ) -> Tensor:
        sparse = not x.is_cuda if self.sparse is None else self.sparse
        if sparse and bool(mask.any()):
            return sparse_conv_relu_conv(
                self.align.fc, self.generate, x[~mask], self.mask_token[0], mask, hw
            )
        return super()._align_and_generate(x, mask, hw)

    def _generate(self, x: Tensor, mask: Tensor, hw: tuple[int, int]) -> Tensor:
        compared = mask | ~mask.any()  # every one when none is masked
        zeros = x.new_zeros(())
        return torch.where(compared[..., None], on_grid(self.generate, x, hw), zeros)
