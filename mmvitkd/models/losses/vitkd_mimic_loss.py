import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from .distill_loss import DistillLoss


@MODELS.register_module()
class ViTKDMimicLoss(DistillLoss):
    r"""Mimicking of a shallow layer, equation 1 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_.

    .. math::
        L_{lr} = \alpha \frac{1}{B} \sum_{b=1}^{B} \sum_{i=1}^{N} \sum_{j=1}^{D_T}
            (F^T_{b,i,j} - fc(F^S)_{b,i,j})^2

    The linear layer :math:`fc` is the term's neck. The paper's sum over tokens
    and channels, divided by the batch size, is the default, since its weight
    belongs to it.

    Args:
        loss_weight: :math:`\alpha`. Defaults to the paper's 3e-5.
        reduction: ``'sum'`` over tokens and channels, or their ``'mean'``, which
            makes the weight independent of width and token count. Defaults to
            ``'sum'``.
    """

    reductions = ('sum', 'mean')

    def __init__(self, loss_weight: float = 3e-5, reduction: str = 'sum') -> None:
        super().__init__(loss_weight, reduction)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare every token, ``(B, N, C_t)``."""
        loss = F.mse_loss(student, teacher, reduction=self.reduction)
        return loss if self.reduction == 'mean' else loss / len(student)
