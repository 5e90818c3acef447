import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count, check_number
from .logit_loss import LogitLoss


@MODELS.register_module()
class NoiseAdaptedCELoss(LogitLoss):
    r"""The teacher's hard labels, taken for noisy ones, from `Attention Probe: Vision
    Transformer Distillation in the Wild <https://github.com/IIGROUP/AttentionProbe>`_.

    .. math::
        L_{na} = -\frac{1}{B} \sum_{b=1}^{B}
            \log (softmax(z^s_b) A)_{\arg\max z^t_b}

    :math:`A_{ij}`, learnt with the student, is how probable it is that the teacher says
    :math:`j` of an image of class :math:`i`. Its diagonal is the teacher's accuracy
    :math:`a`, the rest of a row a softmax times :math:`1 - a`, so a row sums to 1. It
    begins even. True labels are not read.

    Args:
        num_classes: Of the student and the teacher.
        teacher_accuracy: :math:`a`, between 0 and 1, on images that the teacher was not
            trained with.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.

    Raises:
        ValueError: If there are fewer than two classes, or the accuracy is no share
            between 0 and 1.

    Attributes:
        transition: What the softmax is of, ``(K, K)``; its diagonal is not used.
    """

    def __init__(
        self,
        num_classes: int,
        teacher_accuracy: float,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        if check_count('num_classes', num_classes) < 2:
            raise ValueError(f'num_classes must be at least 2, got {num_classes}')
        self.log_accuracy, self.log_error = _log_shares(teacher_accuracy)
        self.transition = nn.Parameter(torch.zeros(num_classes, num_classes))

    def log_transitions(self) -> Tensor:
        r"""Return :math:`\log A`, ``(K, K)``, true class by the teacher's."""
        diagonal = torch.eye(
            len(self.transition), dtype=torch.bool, device=self.transition.device
        )
        others = self.transition.masked_fill(diagonal, -torch.inf).log_softmax(1)
        return (others + self.log_error).masked_fill(diagonal, self.log_accuracy)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Explain what the teacher says, of logits ``(B, K)``.

        Raises:
            ValueError: If there are not ``num_classes`` of them.
        """
        if student.shape[1] != len(self.transition):
            raise ValueError(
                f'NoiseAdaptedCELoss has num_classes={len(self.transition)}, but the '
                f'logits are of {student.shape[1]} classes: set '
                f'num_classes={student.shape[1]}'
            )
        said = self.log_transitions().T[teacher.argmax(1)]  # (B, K), by true class
        return -(F.log_softmax(student, 1) + said).logsumexp(1).mean()


def _log_shares(accuracy: Any) -> tuple[float, float]:
    """Return the logarithms of an accuracy and of the rest.

    Raises:
        ValueError: If it is not between 0 and 1.
    """
    if not 0 < check_number('teacher_accuracy', accuracy) < 1:
        percent = f': write {accuracy / 100:g}' if 1 < accuracy < 100 else ''
        raise ValueError(
            'teacher_accuracy must be a share between 0 and 1, got '
            f'{accuracy:g}{percent}'
        )
    return math.log(accuracy), math.log1p(-accuracy)
