from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import build_norm_layer
from torch import Tensor, nn

from mmvitkd.registry import MODELS


@MODELS.register_module()
class SimpleFPN(BaseModule):
    """Pyramid from the one map of a plain backbone, as the neck of a detector.

    Of `Exploring Plain Vision Transformer Backbones for Object Detection
    <https://arxiv.org/abs/2203.16527>`_: each level is computed from the map by
    itself, without a top-down path.

    Args:
        in_channels: Width of the map.
        out_channels: Width of every level. Defaults to 256.
        norm_cfg: Norm after each convolution. Defaults to
            ``dict(type='LN2d', eps=1e-6)``, over the channels of each place.
        init_cfg: As for MMEngine's modules. Defaults to None.

    Raises:
        ValueError: If ``in_channels`` can't be divided by 4.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if in_channels % 4:
            raise ValueError(
                f'in_channels must be a multiple of 4, got {in_channels}: the level of '
                'stride 4 has a quarter of them'
            )
        norm_cfg = norm_cfg or {'type': 'LN2d', 'eps': 1e-6}
        half, quarter = in_channels // 2, in_channels // 4
        resize = [
            [  # stride 4
                nn.ConvTranspose2d(in_channels, half, 2, 2),
                build_norm_layer(norm_cfg, half),
                nn.GELU(),
                nn.ConvTranspose2d(half, quarter, 2, 2),
            ],
            [nn.ConvTranspose2d(in_channels, half, 2, 2)],  # stride 8
            [],  # stride 16
            [nn.MaxPool2d(2, 2)],  # stride 32
        ]
        widths = (quarter, half, in_channels, in_channels)
        self.levels = nn.ModuleList(
            nn.Sequential(*layers, *_convolutions(width, out_channels, norm_cfg))
            for layers, width in zip(resize, widths, strict=True)
        )

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map the backbone's output to a pyramid.

        Args:
            inputs: One map ``(B, C, H, W)`` of stride 16.

        Returns:
            Maps ``(B, out_channels, ...)`` of the strides 4, 8, 16, 32 and 64.

        Raises:
            ValueError: If there are several maps.
        """
        if len(inputs) != 1:
            raise ValueError(
                f'SimpleFPN takes one map, got {len(inputs)}: the backbone must give '
                'its last only'
            )
        levels = [level(inputs[0]) for level in self.levels]
        return (*levels, F.max_pool2d(levels[-1], 1, 2))


def _convolutions(width: int, out: int, norm_cfg: dict[str, Any]) -> list[nn.Module]:
    """A 1x1 and a 3x3 convolution, each normalised."""
    return [
        nn.Conv2d(width, out, 1, bias=False),
        build_norm_layer(norm_cfg, out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        build_norm_layer(norm_cfg, out),
    ]
