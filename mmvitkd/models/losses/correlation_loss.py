from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_same_tokens, gram
from .distill_loss import DistillLoss


@MODELS.register_module()
class CorrelationLoss(DistillLoss):
    r"""Correlation matrices of the tokens, equation 7 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_.

    .. math::
        L_{cor} = \frac{1}{B} \sum_{b=1}^{B} \sum_{i=1}^{N} \sum_{j=1}^{N}
            (M^T_{b,i,j} - M^S_{b,i,j})^2, \quad M = \frac{F F^\top}{\sqrt{D}}

    The paper compares it with mimicking the same layers; the width cancels, so the
    term needs no neck. It gives the matrix but neither the reduction nor the
    weight: both are ours. Between independent features of unit variance the sum is
    about 8e4 for 196 tokens of DeiT-Tiny and DeiT-Small, where that of equation 1 is
    15e4; it grows with the fourth power of their scale, equation 1 with the square.

    Args:
        loss_weight: Factor of the whole. Defaults to 3e-5, our choice: the paper's
            for mimicking.
        reduction: ``'sum'`` over the matrix, or its ``'mean'``, which makes the
            weight independent of the token count. Defaults to ``'sum'``.
    """

    check_shapes = staticmethod(check_same_tokens)
    reductions = ('sum', 'mean')

    def __init__(self, loss_weight: float = 3e-5, reduction: str = 'sum') -> None:
        super().__init__(loss_weight, reduction)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare how the tokens ``(B, N, C)`` of an image respond to each other."""
        error = _correlation(student) - _correlation(teacher)  # (B, N, N)
        return self.reduce(error.square())


def _correlation(x: Tensor) -> Tensor:
    """Equation 7, ``(B, N, C)`` to ``(B, N, N)``."""
    return gram(x) / x.shape[-1] ** 0.5
