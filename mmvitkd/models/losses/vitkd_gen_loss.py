import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from .distill_loss import DistillLoss


@MODELS.register_module()
class ViTKDGenLoss(DistillLoss):
    r"""Generation of the last layer, equation 5 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_.

    .. math::
        L_{gen} = \beta \frac{1}{\lambda B} \sum_{b=1}^{B} \sum_{i \in M_b}
            \sum_{j=1}^{D_T} (F^T_{b,i,j} - G(F^S)_{b,i,j})^2

    where :math:`M_b` are the masked tokens of a sample and :math:`\lambda` is the
    neck's ``mask_ratio``. The paper's equation does not divide by :math:`\lambda`; its
    released code does, and the weight belongs to that. Of few tokens another share is
    drawn: of 16 at 0.1, two are masked, 0.125. With no token masked (ratio 0), every
    token is compared, and :math:`\lambda` is 1.

    Args:
        loss_weight: :math:`\beta`. Defaults to the paper's 3e-6.
        reduction: ``'sum'`` as above, as released; ``'sum_drawn'``, where
            :math:`\lambda` is the share of all tokens that was drawn, so that the
            number of tokens does not matter; or the ``'mean'`` over the compared tokens
            and their channels. Of a neck without ``mask_ratio`` the first is the
            second. Defaults to ``'sum'``.
    """

    reductions = ('sum', 'sum_drawn', 'mean')
    takes_mask = True
    takes_mask_ratio = True

    def __init__(self, loss_weight: float = 3e-6, reduction: str = 'sum') -> None:
        super().__init__(loss_weight, reduction)

    def equation(
        self,
        student: Tensor,
        teacher: Tensor,
        mask: Tensor | None = None,
        mask_ratio: float | None = None,
    ) -> Tensor:
        """Compare the masked tokens, or all of them when none is masked.

        Args:
            student: ``(B, N, C_t)``, what the neck generated.
            teacher: ``(B, N, C_t)``.
            mask: Bool ``(B, N)``, True where the student's token was replaced.
            mask_ratio: The neck's, if it has one.

        Raises:
            ValueError: If the mask is not ``(B, N)``.
        """
        error = F.mse_loss(student, teacher, reduction='none').sum(-1)  # (B, N)
        if mask is None:
            mask = error.new_zeros(error.shape)
        elif mask.shape != error.shape:
            raise ValueError(
                f'mask must be (B, N) = {tuple(error.shape)}, got {tuple(mask.shape)}'
            )
        masked = mask.to(error)
        # 1 if no token is masked at all (no sync with the device), else 0
        none = (masked.sum() == 0).to(error)
        compared = masked + none
        total = (error * compared).sum()
        if self.reduction == 'mean':
            return total / (compared.sum() * student.shape[-1])
        share = compared.mean()
        if self.reduction == 'sum' and mask_ratio:
            share = none + (1 - none) * mask_ratio
        return total / (len(student) * share)
