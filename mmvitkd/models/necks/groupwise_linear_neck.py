import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count, check_grid, check_share


@MODELS.register_module()
class GroupwiseLinearNeck(BaseModule):
    """A linear layer for each block of the grid, from `Cross-Architecture Knowledge
    Distillation <https://arxiv.org/abs/2207.05273>`_.

    It maps a CNN's map to a transformer's features, block by block of ``groups`` times
    ``groups``, since neighbours of a map differ little. A block has
    ``ceil(side / groups)`` tokens a side and the last ones what is left: 14 tokens in 4
    groups are 4, 4, 4 and 2. The paper has blocks of 4x4 on a grid of 14x14, which 4
    does not divide, and does not say where the two that are left belong; nor the rate
    of its dropout. With one group it is :class:`LinearProjector`.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        groups: Blocks a side. Defaults to 4.
        drop_rate: Of dropout before the layers. Defaults to 0.1.
        init_cfg: MMEngine's initialisation config. Defaults to None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 4,
        drop_rate: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.groups = check_count('groups', groups)
        self.drop = nn.Dropout(check_share('drop_rate', drop_rate))
        self.fcs = nn.ModuleList(
            nn.Linear(in_channels, out_channels) for _ in range(self.groups**2)
        )

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Map every token by the layer of its block.

        Args:
            x: The student's patch tokens, or map, ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.

        Returns:
            ``(B, N, C_out)``.

        Raises:
            ValueError: If the grid does not match, or a group has no token.
        """
        check_grid(hw, x.shape[1])
        height, width = (-(-side // self.groups) for side in hw)  # rounded up
        filled = -(-hw[0] // height), -(-hw[1] // width)
        if filled != (self.groups, self.groups):
            raise ValueError(
                f'the grid {tuple(hw)} in blocks of {height}x{width} has {filled} of '
                f'them, not groups={self.groups} a side, and a layer would be idle: '
                f'take groups={min(filled)}'
            )
        x = self.drop(x).unflatten(1, hw)  # (B, H, W, C_in)
        layers = iter(self.fcs)
        rows = [
            torch.cat([next(layers)(block) for block in row.split(width, 2)], 2)
            for row in x.split(height, 1)
        ]
        return torch.cat(rows, 1).flatten(1, 2)
