import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_grid


@MODELS.register_module()
class GridAligner(BaseModule):
    """Patch tokens as a map of the teacher's width and grid, such as a CNN's.

    The aligner of `DearKD: Data-Efficient Early Knowledge Distillation for Vision
    Transformers <https://arxiv.org/abs/2204.12997>`_, whose layers are not public.
    Here the map is resized bilinearly, then come a depthwise 3x3 convolution, a 1x1
    convolution and a batch norm. It looks at the teacher's side only for the grid,
    which depends on the size of the images, and leaves its values as they are.

    The norm has no running statistics: a neck is used in training only.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        init_cfg: MMEngine's initialisation config. Defaults to None.
    """

    two_sided = True

    def __init__(
        self, in_channels: int, out_channels: int, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.layers = nn.Sequential(
            nn.Conv2d(
                in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False
            ),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels, track_running_stats=False),
        )

    def forward(
        self, x: Tensor, hw: tuple[int, int], t: Tensor, hw_t: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Bring the student's tokens to the teacher's grid and width.

        Args:
            x: The student's patch tokens, ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.
            t: The teacher's, ``(B, M, C_out)``.
            hw_t: Their grid.

        Returns:
            What to compare, of the student and of the teacher, ``(B, M, C_out)``.

        Raises:
            ValueError: If a grid does not match its tokens.
        """
        check_grid(hw, x.shape[1])
        check_grid(hw_t, t.shape[1])
        x = x.transpose(1, 2).unflatten(2, hw)  # (B, C_in, H, W)
        resized = F.interpolate(x.float(), hw_t, mode='bilinear', antialias=True)
        return self.layers(resized.to(x.dtype)).flatten(2).transpose(1, 2), t
