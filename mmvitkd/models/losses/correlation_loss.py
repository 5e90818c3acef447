from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_no_mask, check_same_tokens, gram


@MODELS.register_module()
class CorrelationLoss(nn.Module):
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

    Raises:
        ValueError: If ``reduction`` is neither.
    """

    def __init__(self, loss_weight: float = 3e-5, reduction: str = 'sum') -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.reduction = check_choice('reduction', reduction, ('sum', 'mean'))

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Compare how the tokens of an image respond to each other.

        Args:
            student: ``(B, N, C_s)``.
            teacher: ``(B, N, C_t)``.
            target: Part of every loss's contract, unused by features.
            mask: Must be None: a neck that masks goes with ``ViTKDGenLoss``.

        Raises:
            ValueError: If the batch or the token counts differ, or a mask is given.
        """
        check_no_mask(mask, 'CorrelationLoss')
        check_same_tokens(student, teacher)
        error = (_correlation(student) - _correlation(teacher)).square()  # (B, N, N)
        loss = error.sum() / len(error) if self.reduction == 'sum' else error.mean()
        return self.loss_weight * loss


def _correlation(x: Tensor) -> Tensor:
    """Equation 7, ``(B, N, C)`` to ``(B, N, N)``."""
    return gram(x) / x.shape[-1] ** 0.5
