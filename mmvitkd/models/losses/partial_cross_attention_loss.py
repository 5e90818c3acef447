from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_weight, gram
from .distill_loss import DistillLoss


@MODELS.register_module()
class PartialCrossAttentionLoss(DistillLoss):
    r"""Attention, and relations among the values, from `Cross-Architecture Knowledge
    Distillation <https://arxiv.org/abs/2207.05273>`_.

    .. math::
        L_1 = a \, \| A^T - A^S \|^2 + v \, \Big\| \frac{V^T {V^T}^\top}{\sqrt C}
            - \frac{V^S {V^S}^\top}{\sqrt C} \Big\|^2

    The mean of the squares, in either part. Both sides are what
    :class:`PartialCrossAttentionNeck` returns, attention :math:`A` and values
    :math:`V` in a row.

    Args:
        attention, values: :math:`a, v`. Default to 1.0, as in the paper.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.
    """

    def __init__(
        self,
        attention: float = 1.0,
        values: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.attention = check_weight('attention', attention)
        self.values = check_weight('values', values)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the halves of ``(B, N, 2 * C)``.

        Raises:
            ValueError: If there are no halves.
        """
        width = student.shape[-1]
        if student.ndim != 3 or width % 2:
            raise ValueError(
                'PartialCrossAttentionLoss takes attention and values (B, N, 2 * C), '
                f'got {tuple(student.shape)}: give the term '
                "neck=dict(type='mmvitkd.PartialCrossAttentionNeck')"
            )
        a_s, v_s = student.chunk(2, -1)
        a_t, v_t = teacher.chunk(2, -1)
        relations = (gram(v_t) - gram(v_s)).square().mean() / (width // 2)
        return self.attention * (a_t - a_s).square().mean() + self.values * relations
