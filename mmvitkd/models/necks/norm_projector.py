from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS


@MODELS.register_module()
class NormProjector(BaseModule):
    """Layer norm and a linear layer to the teacher's width, per token.

    A head of `Proteus <https://arxiv.org/abs/2407.10366>`_, also where the widths are
    equal.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        init_cfg: MMEngine's initialisation config. Defaults to None.
    """

    def __init__(
        self, in_channels: int, out_channels: int, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.norm = nn.LayerNorm(in_channels)
        self.fc = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, hw: tuple[int, int] | None = None) -> Tensor:
        """Map ``(B, N, C_in)`` or ``(B, C_in)`` to the teacher's width.

        Args:
            x: The student's tokens, or one token.
            hw: Part of every neck's contract; a token is mapped by itself.

        Returns:
            ``(B, N, C_out)`` or ``(B, C_out)``.
        """
        return self.fc(self.norm(x))
