from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from mmvitkd.models.utils import check_count
from mmvitkd.registry import MODELS

from .mlp_projector import MLPProjector


@MODELS.register_module()
class LadderProjector(BaseModule):
    """An MLP of each block of the student, summed, to the teacher's width, per token.

    The ladder of projectors of `UNIC <https://arxiv.org/abs/2408.05088>`_. The
    student's tap names the blocks; all MLPs but the last block's are narrow.

    Args:
        in_channels: Width of each block, or of the only one; inferred by the distiller
            from the modules that the tap names.
        out_channels: The teacher's width; inferred by the distiller.
        expansion: Width inside the MLPs before the last, as a multiple of their
            block's. Defaults to 1, the released 768 of a ViT-Base.
        last_expansion: That inside the last. Defaults to 4, the released 3,072.
        init_cfg: MMEngine's initialisation config, of each MLP. Defaults to a truncated
            normal, as released.

    Raises:
        ValueError: If an expansion is no whole number above 0, or ``in_channels`` lists
            no widths. In a forward: if the tokens have another width than the blocks
            together.
    """

    takes_widths = True  # in_channels is that of each module of the tap

    def __init__(
        self,
        in_channels: Sequence[int] | int,
        out_channels: int,
        expansion: int = 1,
        last_expansion: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        widths = [in_channels] if isinstance(in_channels, int) else in_channels
        if not widths:
            raise ValueError('in_channels must list the width of each block, got none')
        for name, value in (('', expansion), ('last_', last_expansion)):
            check_count(f'{name}expansion', value)
        self.widths = [check_count('in_channels', width) for width in widths]
        inside = [expansion] * (len(self.widths) - 1) + [last_expansion]
        self.mlps = ModuleList(  # which initialises them
            MLPProjector(width, out_channels, times, init_cfg)
            for width, times in zip(self.widths, inside, strict=True)
        )

    def forward(self, x: Tensor, hw: tuple[int, int] | None = None) -> Tensor:
        """Sum up what the blocks' MLPs make of their tokens.

        Args:
            x: The blocks' tokens side by side, ``(B, N, C_1 + ... + C_L)``, or one
                token of each, ``(B, C_1 + ... + C_L)``.
            hw: Part of every neck's contract; a token is mapped by itself.

        Returns:
            ``(B, N, C_out)`` or ``(B, C_out)``.
        """
        if x.shape[-1] != sum(self.widths):
            raise ValueError(
                f'a LadderProjector of {len(self.widths)} blocks takes their '
                f'{sum(self.widths)} channels side by side, got {x.shape[-1]}: the '
                "student's tap must name as many blocks, of the widths "
                f'{self.widths}'
            )
        blocks = x.split(self.widths, dim=-1)
        total: Any = sum(mlp(part) for mlp, part in zip(self.mlps, blocks, strict=True))
        return total
