from typing import Any

from torch import Tensor

from mmvitkd.registry import MODELS

from .target_aware_neck import TargetAwareNeck, target_aware


@MODELS.register_module()
class PatchGroupNeck(TargetAwareNeck):
    """Places ask within groups of cells, for maps too large for all pairs.

    Patch-group distillation of the `Target-aware Transformer
    <https://arxiv.org/abs/2205.10793>`_: the map is cut into ``n`` times ``m`` cells,
    consecutive ones form a group, and what lies at the same place of a group's cells is
    one long vector. In each group, every place of the teacher asks the student's. With
    one cell this is :class:`TargetAwareNeck`. The paper uses it only in segmentation,
    with :class:`AnchorPointNeck` in a second term.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        cells: ``(n, m)``, which divide the sides of both grids. Defaults to (16, 16),
            as released for Pascal VOC.
        groups: A divisor of ``n * m``. Defaults to 64, as released for Pascal VOC.
        kernel_size: Of the convolutions, odd. Defaults to 1, as released.
        kwargs: As for :class:`TargetAwareNeck`.

    Raises:
        ValueError: If ``groups`` does not divide the number of cells.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cells: tuple[int, int] = (16, 16),
        groups: int = 64,
        kernel_size: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **kwargs)
        count = cells[0] * cells[1]
        if groups < 1 or count % groups:
            raise ValueError(
                f'groups must divide the {count} cells {tuple(cells)}, got {groups}'
            )
        self.cells = cells
        self.groups = groups

    def _reconfigure(
        self,
        keys: Tensor,
        values: Tensor,
        hw: tuple[int, int],
        t: Tensor,
        hw_t: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        keys, values = self._group(keys, hw), self._group(values, hw)
        out = target_aware(keys, values, self._group(t, hw_t))
        return self._ungroup(out, hw_t), t

    def _group(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Turn ``(B, N, C)`` into places of a group's cells, ``(B, g, h * w, p * C)``.

        Raises:
            ValueError: If the cells do not divide the grid.
        """
        n, m = self.cells
        if hw[0] % n or hw[1] % m:
            raise ValueError(f'cells={(n, m)} do not divide the grid {tuple(hw)}')
        h, w = hw[0] // n, hw[1] // m
        x = x.unflatten(1, (n, h, m, w)).transpose(2, 3)  # (B, n, m, h, w, C)
        x = x.flatten(3, 4).flatten(1, 2)  # (B, n * m, h * w, C)
        x = x.unflatten(1, (self.groups, -1))  # (B, g, p, h * w, C)
        return x.transpose(2, 3).flatten(3)

    def _ungroup(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Undo :meth:`_group`, to ``(B, N, C)``."""
        n, m = self.cells
        h, w = hw[0] // n, hw[1] // m
        x = x.unflatten(3, (n * m // self.groups, -1)).transpose(2, 3)
        x = x.flatten(1, 2)  # (B, n * m, h * w, C)
        x = x.unflatten(2, (h, w)).unflatten(1, (n, m))  # (B, n, m, h, w, C)
        return x.transpose(2, 3).flatten(1, 4)
