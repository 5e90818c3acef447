import torch
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule
from mmpretrain.models.utils import to_2tuple
from torch import Tensor, nn

from .involution import Involution


class CrossBiasEmbed(BaseModule):
    """Two stems, whose sum are the patches and whose means two tokens before them.

    Args:
        img_size: As for ``CrossBiasViT``, as are the next three.
        patch_size: See there.
        in_channels: See there.
        stem_channels: See there.
        embed_dims: Width of the tokens.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int],
        patch_size: int,
        in_channels: int,
        stem_channels: int,
        embed_dims: int,
    ) -> None:
        # as released; MMEngine's own default is the fan of the output
        super().__init__({'type': 'Kaiming', 'layer': 'Conv2d', 'mode': 'fan_in'})
        half = stem_channels // 2
        self.conv_stem = nn.Sequential(
            *_conv(in_channels, stem_channels, 7, 2),
            *_conv(stem_channels, stem_channels, 3),
            *_conv(stem_channels, stem_channels, 3),
        )
        # that of RedNet-26
        self.inv_stem = nn.Sequential(
            *_conv(in_channels, half, 3, 2),
            Involution(half, 3),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            *_conv(half, stem_channels, 3),
        )
        side = patch_size // 2
        self.init_input_size = to_2tuple(img_size)
        halved = tuple(-(-length // 2) for length in self.init_input_size)
        self.conv_patches, self.inv_patches = (
            PatchEmbed(
                stem_channels,
                embed_dims,
                kernel_size=side,
                stride=side,
                input_size=halved,
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images ``(B, 3, H, W)``.

        Returns:
            ``(B, 2 + N, C)``, the two means first, and the grid of the ``N`` patches.
        """
        conv, hw = self.conv_patches(self.conv_stem(x))  # (B, N, C)
        inv, _ = self.inv_patches(self.inv_stem(x))
        means = conv.mean(1, keepdim=True), inv.mean(1, keepdim=True)
        return torch.cat((*means, conv + inv), 1), hw


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
