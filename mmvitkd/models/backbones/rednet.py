from typing import Any

from mmcv.cnn import ConvModule
from mmpretrain.models.backbones import ResNet
from mmpretrain.models.backbones.resnet import Bottleneck
from torch import nn

from mmvitkd.registry import MODELS

from .involution import Involution


class InvolutionBottleneck(Bottleneck):
    """ResNet's bottleneck, with an involution of 7x7 for its convolution of 3x3."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels, out_channels, **kwargs)
        self.conv2 = Involution(self.mid_channels, 7, stride=self.conv2_stride)


@MODELS.register_module()
class RedNet(ResNet):
    """A ResNet of involutions, from `Involution: Inverting the Inherence of Convolution
    for Visual Recognition <https://arxiv.org/abs/2103.06255>`_.

    Modules have the names of the authors' code, so their checkpoints load.

    Args:
        depth: 26, 38, 50, 101 or 152.
        **kwargs: As for MMPretrain's ``ResNet``, but for ``deep_stem``.

    Raises:
        KeyError: If there is no such depth.
    """

    arch_settings = {
        26: (InvolutionBottleneck, (1, 2, 4, 1)),
        38: (InvolutionBottleneck, (2, 3, 5, 2)),
        50: (InvolutionBottleneck, (3, 4, 6, 3)),
        101: (InvolutionBottleneck, (3, 4, 23, 3)),
        152: (InvolutionBottleneck, (3, 8, 36, 3)),
    }

    def __init__(self, depth: int, **kwargs: Any) -> None:
        super().__init__(depth, deep_stem=True, **kwargs)

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        half = stem_channels // 2
        conv = {'padding': 1, 'conv_cfg': self.conv_cfg, 'norm_cfg': self.norm_cfg}
        self.stem = nn.Sequential(
            ConvModule(in_channels, half, 3, stride=2, **conv),
            Involution(half, 3),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            ConvModule(half, stem_channels, 3, **conv),
        )
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
