import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_grid, on_grid


@MODELS.register_module()
class TargetAwareNeck(BaseModule):
    r"""Every place of the teacher asks all of the student's, from `Knowledge
    Distillation via the Target-aware Transformer <https://arxiv.org/abs/2205.10793>`_.

    .. math::
        f^{s'}_i = \sum_j W^i_j \, \phi(f^s)_j, \quad
        W^i = softmax_j \langle \gamma(f^s)_j, f^t_i \rangle

    Places of one image: :math:`i` of the teacher, :math:`j` of the student, so that the
    grids may differ. :math:`\gamma` and :math:`\phi` are a convolution and a batch norm
    each; the teacher's side has none, as in the released code for ImageNet, while that
    for segmentation has one. ``ViTKDMimicLoss(reduction='mean')`` then compares the
    teacher's grid.

    This is the paper's equation for one place. Its line in matrices, and the released
    code, are the transpose: the student's places ask, and the softmax is over the
    teacher's, another loss of the same shapes that needs equal grids.

    The norms see the images of this process, and have no running statistics, since a
    neck is used in training only.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        kernel_size: Of the convolutions, odd. Defaults to 3, as released for ImageNet;
            1 for segmentation.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If ``kernel_size`` is not odd.
    """

    two_sided = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, such as 3, got {kernel_size}')
        self.gamma = _conv_norm(in_channels, out_channels, kernel_size)
        self.phi = _conv_norm(in_channels, out_channels, kernel_size)

    def forward(
        self, x: Tensor, hw: tuple[int, int], t: Tensor, hw_t: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Reconfigure the student's tokens for every token of the teacher.

        Args:
            x: The student's patch tokens, or map, ``(B, N, C_in)``.
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
        keys, values = on_grid(self.gamma, x, hw), on_grid(self.phi, x, hw)
        return self._reconfigure(keys, values, hw, t, hw_t)

    def _reconfigure(
        self,
        keys: Tensor,
        values: Tensor,
        hw: tuple[int, int],
        t: Tensor,
        hw_t: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Make what is compared of keys and values ``(B, N, C_out)`` and ``t``."""
        return target_aware(keys, values, t), t


def target_aware(keys: Tensor, values: Tensor, t: Tensor) -> Tensor:
    """Mix values by the softmax of each teacher token's products with the keys.

    The products are not scaled, so they and the softmax are in float32.

    Args:
        keys: ``(..., N, C)``.
        values: ``(..., N, C)``.
        t: ``(..., M, C)``.

    Returns:
        ``(..., M, C)``.
    """
    with torch.autocast(t.device.type, enabled=False):
        weights = (t.float() @ keys.float().transpose(-2, -1)).softmax(-1)
        return weights @ values.float()


def _conv_norm(in_channels: int, out_channels: int, kernel_size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False
        ),
        nn.BatchNorm2d(out_channels, track_running_stats=False),
    )
