import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_same_shape


@MODELS.register_module()
class ViTKDGenLoss(nn.Module):
    r"""Generation of the last layer, equation 5 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_.

    .. math::
        L_{gen} = \beta \frac{1}{\lambda B} \sum_{b=1}^{B} \sum_{i \in M_b}
            \sum_{j=1}^{D_T} (F^T_{b,i,j} - G(F^S)_{b,i,j})^2

    where :math:`M_b` are the masked tokens of a sample and :math:`\lambda` is
    the masked share of all tokens. The paper's equation does not divide by
    :math:`\lambda`; its released code does, and the weight belongs to that.
    With no token masked (ratio 0), every token is compared.

    Args:
        loss_weight: :math:`\beta`. Defaults to the paper's 3e-6.
        reduction: ``'sum'`` as above, or the ``'mean'`` over the compared tokens
            and their channels. Defaults to ``'sum'``.

    Raises:
        ValueError: If ``reduction`` is neither.
    """

    def __init__(self, loss_weight: float = 3e-6, reduction: str = 'sum') -> None:
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
        """Compare the masked tokens, or all of them when none is masked.

        Args:
            student: ``(B, N, C_t)``, what the neck generated.
            teacher: ``(B, N, C_t)``.
            target: Part of every loss's contract, unused by features.
            mask: Bool ``(B, N)``, True where the student's token was replaced.

        Raises:
            ValueError: If the shapes differ, or the mask is not ``(B, N)``.
        """
        check_same_shape(student, teacher)
        error = F.mse_loss(student.float(), teacher.float(), reduction='none')
        per_token = error.sum(-1)  # (B, N, C_t) to (B, N)
        compared = per_token.new_ones(per_token.shape)
        if mask is not None:
            if mask.shape != per_token.shape:
                raise ValueError(
                    f'mask must be (B, N) = {tuple(per_token.shape)}, '
                    f'got {tuple(mask.shape)}'
                )
            masked = mask.to(per_token)
            # no token masked at all: compare every one (no sync with the device)
            compared = masked + (masked.sum() == 0) * compared
        total = (per_token * compared).sum()
        if self.reduction == 'mean':
            return self.loss_weight * total / (compared.sum() * error.shape[-1])
        return self.loss_weight * total / (len(error) * compared.mean())
