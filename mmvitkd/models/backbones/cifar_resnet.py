from typing import Any

from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock

from mmvitkd.registry import MODELS


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """The thin ResNets for CIFAR, from `Deep Residual Learning for Image Recognition
    <https://arxiv.org/abs/1512.03385>`_, section 4.2.

    Three stages of 16, 32 and 64 channels on maps of 32, 16 and 8; MMPretrain's
    ``ResNet_CIFAR`` has the four wide stages of ImageNet's.

    Args:
        depth: 20, 32, 44, 56 or 110: six times the blocks of a stage, and two.
        **kwargs: As for MMPretrain's ``ResNet_CIFAR``.

    Raises:
        KeyError: If there is no such depth.
    """

    arch_settings = {
        6 * blocks + 2: (BasicBlock, (blocks,) * 3) for blocks in (3, 5, 7, 9, 18)
    }

    def __init__(self, depth: int, **kwargs: Any) -> None:
        three = {
            'num_stages': 3,
            'strides': (1, 2, 2),
            'dilations': (1, 1, 1),
            'out_indices': (2,),
            'stem_channels': 16,
            'base_channels': 16,
        }
        super().__init__(depth, **{**three, **kwargs})
