import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_grid


@MODELS.register_module()
class GridPooler(BaseModule):
    """The student's tokens averaged to the teacher's grid, without any weights.

    Other terms have the teacher resampled to the student's grid; `Cumulative Spatial
    Knowledge Distillation <https://arxiv.org/abs/2307.08500>`_ compares on the
    teacher's, a CNN's of 7x7 for a ViT's of 14x14.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If the widths differ.
    """

    two_sided = True

    def __init__(
        self, in_channels: int, out_channels: int, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if in_channels != out_channels:
            raise ValueError(
                f'a GridPooler leaves the width as it is, but the student has '
                f'{in_channels} channels, or classes, and the teacher {out_channels}'
            )

    def forward(
        self, x: Tensor, hw: tuple[int, int], t: Tensor, hw_t: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Average the student's tokens.

        Args:
            x: The student's, ``(B, N, C)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.
            t: The teacher's, ``(B, M, C)``.
            hw_t: Their grid.

        Returns:
            What to compare, of the student and of the teacher, ``(B, M, C)``.

        Raises:
            ValueError: If a grid does not match its tokens.
        """
        check_grid(hw, x.shape[1])
        check_grid(hw_t, t.shape[1])
        maps = x.transpose(1, 2).unflatten(2, hw)  # (B, C, H, W)
        return F.adaptive_avg_pool2d(maps, hw_t).flatten(2).transpose(1, 2), t
