import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_logits, check_positive, drop_label, hard_labels


@MODELS.register_module()
class NKDLoss(nn.Module):
    r"""Normalised KD, from `From Knowledge Distillation to Self-Knowledge
    Distillation <https://arxiv.org/abs/2303.13005>`_.

    .. math::
        L_{nkd} = - \frac{1}{B} \sum_{b=1}^{B} \Big( T_{b,y} \log S_{b,y}
            + \gamma \lambda^2 \sum_{i \neq y} \hat T^\lambda_{b,i}
            \log \hat S^\lambda_{b,i} \Big)

    :math:`S` and :math:`T` are the softmax outputs of student and teacher,
    :math:`y` is the label, :math:`\lambda` the temperature, and the hat stands
    for the softmax over the other classes alone. Mixed labels count as the
    class with the largest share, as in the released code.

    Args:
        temperature: :math:`\lambda`, of the other classes. Defaults to 1.0.
        gamma: Weight of the other classes. Defaults to 1.5.
        loss_weight: Factor of the whole. Defaults to 1.0.

    Raises:
        ValueError: If ``temperature`` is not above 0.
    """

    def __init__(
        self, temperature: float = 1.0, gamma: float = 1.5, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.temperature = check_positive('temperature', temperature)
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Compare the label's probability and the others' distribution apart.

        Args:
            student: Logits ``(B, K)``.
            teacher: Logits ``(B, K)``.
            target: Labels, as indices ``(B,)`` or scores ``(B, K)``.
            mask: Part of every loss's contract; logits have none.

        Raises:
            ValueError: If the logits are not ``(B, K)`` of the same classes, or
                there are no labels.
        """
        check_logits(student, teacher)
        label = hard_labels(target, 'NKDLoss')  # (B,)
        student, teacher = student.float(), teacher.float()

        index = label.view(-1, 1)
        student_label = F.log_softmax(student, dim=1).gather(1, index)  # (B, 1)
        teacher_label = F.softmax(teacher, dim=1).gather(1, index)  # (B, 1)
        loss_label = -(teacher_label * student_label).mean()

        t = self.temperature
        student_others = F.log_softmax(drop_label(student, label) / t, dim=1)
        teacher_others = F.softmax(drop_label(teacher, label) / t, dim=1)  # (B, K - 1)
        loss_others = -(teacher_others * student_others).sum(1).mean()

        return self.loss_weight * (loss_label + self.gamma * t**2 * loss_others)
