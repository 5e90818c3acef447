from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.models.utils import check_count
from mmvitkd.registry import MODELS


@MODELS.register_module()
class MLPProjector(BaseModule):
    """Two linear layers with a GELU between them, to the teacher's width, per token.

    A head of `UNIC <https://arxiv.org/abs/2408.05088>`_.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        expansion: Width between the layers, as a multiple of the student's. Defaults to
            4, as released for the last block.
        init_cfg: MMEngine's initialisation config. Defaults to a truncated normal, as
            released.

    Raises:
        ValueError: If ``expansion`` is no whole number above 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        drawn = {'type': 'TruncNormal', 'layer': 'Linear', 'std': 0.02}
        super().__init__(drawn if init_cfg is None else init_cfg)
        hidden = check_count('expansion', expansion) * in_channels
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.GELU(), nn.Linear(hidden, out_channels)
        )

    def forward(self, x: Tensor, hw: tuple[int, int] | None = None) -> Tensor:
        """Map ``(B, N, C_in)`` or ``(B, C_in)`` to the teacher's width.

        Args:
            x: The student's tokens, or one token.
            hw: Part of every neck's contract; a token is mapped by itself.

        Returns:
            ``(B, N, C_out)`` or ``(B, C_out)``.
        """
        return self.layers(x)
