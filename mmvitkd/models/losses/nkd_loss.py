import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive, check_weight
from .logit_loss import LogitLoss, drop_label


@MODELS.register_module()
class NKDLoss(LogitLoss):
    r"""Normalised KD, from `From Knowledge Distillation to Self-Knowledge
    Distillation <https://arxiv.org/abs/2303.13005>`_.

    .. math::
        L_{nkd} = - \frac{1}{B} \sum_{b=1}^{B} \Big( T_{b,y} \log S_{b,y}
            + \gamma \lambda^2 \sum_{i \neq y} \hat T^\lambda_{b,i}
            \log \hat S^\lambda_{b,i} \Big)

    :math:`S` and :math:`T` are the softmax outputs of student and teacher,
    :math:`y` is the label, :math:`\lambda` the temperature, and the hat stands
    for the softmax over only the other classes. Mixed labels count as the
    class with the largest share, as in the released code.

    Args:
        temperature: :math:`\lambda`, of the other classes. Defaults to 1.0.
        gamma: Weight of the other classes. Defaults to 1.5.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.
    """

    needs_labels = True

    def __init__(
        self,
        temperature: float = 1.0,
        gamma: float = 1.5,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.temperature = check_positive('temperature', temperature)
        self.gamma = check_weight('gamma', gamma)

    def equation(self, student: Tensor, teacher: Tensor, label: Tensor) -> Tensor:
        """Compare the label's probability and the others' distribution apart."""
        index = label.view(-1, 1)
        student_label = F.log_softmax(student, dim=1).gather(1, index)  # (B, 1)
        teacher_label = F.softmax(teacher, dim=1).gather(1, index)  # (B, 1)
        loss_label = -(teacher_label * student_label).mean()

        t = self.temperature
        student_others = F.log_softmax(drop_label(student, label) / t, dim=1)
        teacher_others = F.softmax(drop_label(teacher, label) / t, dim=1)  # (B, K - 1)
        loss_others = -(teacher_others * student_others).sum(1).mean()

        return loss_label + self.gamma * t**2 * loss_others
