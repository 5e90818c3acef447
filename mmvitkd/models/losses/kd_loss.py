import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_logits, check_positive


@MODELS.register_module()
class KDLoss(nn.Module):
    r"""Soft labels of the teacher, as in `Distilling the Knowledge in a Neural
    Network <https://arxiv.org/abs/1503.02531>`_.

    .. math::
        L_{kd} = T^2 \frac{1}{B} \sum_{b=1}^{B}
            KL(softmax(z^t_b / T) \| softmax(z^s_b / T))

    Args:
        temperature: :math:`T`. Defaults to 4.0.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: ``'batchmean'`` divides by :math:`B`, as above; ``'mean'`` by
            :math:`B K`, the classes too, as DeiT's released code and what builds on
            it, so that 1 / 1000 is left on ImageNet. Defaults to ``'batchmean'``.

    Raises:
        ValueError: If ``temperature`` is not above 0, or ``reduction`` is neither.
    """

    def __init__(
        self,
        temperature: float = 4.0,
        loss_weight: float = 1.0,
        reduction: str = 'batchmean',
    ) -> None:
        super().__init__()
        self.temperature = check_positive('temperature', temperature)
        self.loss_weight = loss_weight
        self.reduction = check_choice('reduction', reduction, ('batchmean', 'mean'))

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Compare the softened class distributions.

        Args:
            student: Logits ``(B, K)``.
            teacher: Logits ``(B, K)``.
            target: Part of every loss's contract; soft labels replace it.
            mask: Part of every loss's contract; logits have none.

        Raises:
            ValueError: If the logits are not ``(B, K)`` of the same classes.
        """
        check_logits(student, teacher)
        t = self.temperature
        loss = F.kl_div(
            F.log_softmax(student.float() / t, dim=1),
            F.log_softmax(teacher.float() / t, dim=1),
            reduction=self.reduction,
            log_target=True,
        )
        return self.loss_weight * t**2 * loss
