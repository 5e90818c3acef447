import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS


@MODELS.register_module()
class OrthogonalProjector(BaseModule):
    r"""A projection with orthonormal columns, from `VkD: Improving Knowledge
    Distillation using Orthogonal Projections <https://arxiv.org/abs/2403.06213>`_.

    .. math::
        P x, \quad P \in \mathbb{R}^{C_t \times C_s}, \quad P^\top P = I

    It keeps products and distances of the student's features as they are, so it can
    learn nothing in the student's place. :math:`P` is the first factor of a QR
    decomposition of ``fc``'s weight, in float32 at least: its columns are orthonormal
    whatever an optimiser does, and weight decay does not move it.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If the teacher is narrower, where there is no such projection.
    """

    def __init__(
        self, in_channels: int, out_channels: int, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if in_channels > out_channels:
            raise ValueError(
                f"the student's width {in_channels} has no orthogonal projection to "
                f"the teacher's {out_channels}, which is less: use a LinearProjector"
            )
        self.fc = nn.Linear(in_channels, out_channels, bias=False)
        nn.init.orthogonal_(self.fc.weight)

    @property
    def projection(self) -> Tensor:
        """:math:`P`, ``(C_t, C_s)``."""
        weight = self.fc.weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        q, r = torch.linalg.qr(weight.to(dtype))
        return q * r.diagonal().sign()  # or a column could flip from step to step

    def forward(self, x: Tensor, hw: tuple[int, int] | None = None) -> Tensor:
        """Map ``(B, N, C_in)`` or ``(B, C_in)`` to the teacher's width.

        Args:
            x: The student's tokens, or one token.
            hw: Part of every neck's contract; a token is mapped by itself.

        Returns:
            ``(B, N, C_out)`` or ``(B, C_out)``, in float32 at least.
        """
        with torch.autocast(x.device.type, enabled=False):
            projection = self.projection
            return F.linear(x.to(projection.dtype), projection)
