import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_no_mask, check_same_shape


@MODELS.register_module()
class ViTKDMimicLoss(nn.Module):
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
        """Compare every token, whatever ``target`` and ``mask`` say.

        Args:
            student: ``(B, N, C_t)``, after the neck.
            teacher: ``(B, N, C_t)``.
            target: Part of every loss's contract, unused by features.
            mask: Must be None: a neck that masks goes with ``ViTKDGenLoss``.

        Raises:
            ValueError: If the shapes differ, or a mask is given.
        """
        check_no_mask(mask, 'ViTKDMimicLoss')
        check_same_shape(student, teacher)
        loss = F.mse_loss(student.float(), teacher.float(), reduction=self.reduction)
        samples = len(student) if self.reduction == 'sum' else 1
        return self.loss_weight * loss / samples
