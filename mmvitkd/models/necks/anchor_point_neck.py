from typing import Any

from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import on_grid
from .target_aware_neck import TargetAwareNeck, target_aware


@MODELS.register_module()
class AnchorPointNeck(TargetAwareNeck):
    """Anchors ask, the means of a map's regions, for maps too large for all pairs.

    Anchor-point distillation of the `Target-aware Transformer
    <https://arxiv.org/abs/2205.10793>`_: keys, values and the teacher's map are pooled
    to the anchors' grid, on which :class:`TargetAwareNeck` works; the pooled teacher is
    what the result is compared with. The paper uses it only in segmentation, with
    :class:`PatchGroupNeck` in a second term.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        anchors: Their grid, no larger than that of a side. Where it does not divide
            one, regions overlap. Defaults to (32, 32), as released for Pascal VOC.
        kernel_size: Of the convolutions, odd. Defaults to 1, as released.
        kwargs: As for :class:`TargetAwareNeck`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        anchors: tuple[int, int] = (32, 32),
        kernel_size: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **kwargs)
        self.anchors = anchors

    def _reconfigure(
        self,
        keys: Tensor,
        values: Tensor,
        hw: tuple[int, int],
        t: Tensor,
        hw_t: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        keys, values = self._pool(keys, hw), self._pool(values, hw)
        t = self._pool(t, hw_t)  # (B, anchors, C_out)
        return target_aware(keys, values, t), t

    def _pool(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Average ``(B, N, C)`` to ``(B, anchors, C)``.

        Raises:
            ValueError: If there are more anchors than places.
        """
        if hw[0] < self.anchors[0] or hw[1] < self.anchors[1]:
            raise ValueError(
                f'anchors={tuple(self.anchors)} are more than the places of the grid '
                f'{tuple(hw)}'
            )
        return on_grid(nn.AdaptiveAvgPool2d(self.anchors), x, hw)
