import torch
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule
from mmpretrain.models.utils import to_2tuple
from torch import Tensor, nn

from .involution import Involution


class CrossBiasEmbed(BaseModule):
    """Stems, whose sum are the patches and whose means are tokens before them.

    Args:
        img_size: As for ``CrossBiasViT``, as are the next three.
        patch_size: See there.
        in_channels: See there.
        stem_channels: See there.
        embed_dims: Width of the tokens.
        stems: See there.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int],
        patch_size: int,
        in_channels: int,
        stem_channels: int,
        embed_dims: int,
        stems: tuple[str, ...],
    ) -> None:
        # as released; MMEngine's own default is the fan of the output
        super().__init__({'type': 'Kaiming', 'layer': 'Conv2d', 'mode': 'fan_in'})
        self.stems = stems
        for name in stems:
            self.add_module(f'{name}_stem', STEMS[name](in_channels, stem_channels))
        side = patch_size // 2
        self.init_input_size = to_2tuple(img_size)
        halved = tuple(-(-length // 2) for length in self.init_input_size)
        for name in stems:
            patches = PatchEmbed(
                stem_channels,
                embed_dims,
                kernel_size=side,
                stride=side,
                input_size=halved,
            )
            self.add_module(f'{name}_patches', patches)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images ``(B, 3, H, W)``.

        Returns:
            ``(B, stems + N, C)``, the means first, and the grid of the ``N`` patches.
        """
        parts = []  # (B, N, C) each
        for name in self.stems:
            maps = getattr(self, f'{name}_stem')(x)
            part, hw = getattr(self, f'{name}_patches')(maps)
            parts.append(part)
        means = [part.mean(1, keepdim=True) for part in parts]
        return torch.cat((*means, sum(parts)), 1), hw


def _conv_stem(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        *_conv(in_channels, channels, 7, 2),
        *_conv(channels, channels, 3),
        *_conv(channels, channels, 3),
    )


def _inv_stem(in_channels: int, channels: int) -> nn.Sequential:
    """That of RedNet-26."""
    half = channels // 2
    return nn.Sequential(
        *_conv(in_channels, half, 3, 2),
        Involution(half, 3),
        nn.BatchNorm2d(half),
        nn.ReLU(inplace=True),
        *_conv(half, channels, 3),
    )


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


STEMS = {'conv': _conv_stem, 'inv': _inv_stem}
