import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive, check_weight
from .logit_loss import LogitLoss, drop_label


@MODELS.register_module()
class DKDLoss(LogitLoss):
    r"""Decoupled KD, from `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_.

    .. math::
        L_{dkd} = T^2 \frac{1}{B} \sum_{b=1}^{B} \Big(
            \alpha KL(b^t_b \| b^s_b) + \beta KL(\hat p^t_b \| \hat p^s_b) \Big)

    :math:`b` is the pair of probabilities of the label and of all other classes
    together (TCKD), :math:`\hat p` the softmax over only the other classes (NCKD),
    both of the logits divided by :math:`T`. Mixed labels count as the class with
    the largest share.

    The defaults are the released ones for ImageNet with a ResNet-34 teacher; its
    CIFAR-100 default is ``alpha=1, beta=8, temperature=4``. The released code lets
    the loss grow over the first epochs; here it has its weight from the start.

    Args:
        alpha: Weight of TCKD. Defaults to 1.0.
        beta: Weight of NCKD. Defaults to 0.5.
        temperature: :math:`T`. Defaults to 1.0.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.
    """

    needs_labels = True

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 0.5,
        temperature: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.alpha = check_weight('alpha', alpha)
        self.beta = check_weight('beta', beta)
        self.temperature = check_positive('temperature', temperature)

    def equation(self, student: Tensor, teacher: Tensor, label: Tensor) -> Tensor:
        """Compare label against the rest, and the rest among themselves."""
        t = self.temperature
        student = F.log_softmax(student / t, dim=1)
        teacher = F.log_softmax(teacher / t, dim=1)
        student_others = drop_label(student, label)  # (B, K - 1)
        teacher_others = drop_label(teacher, label)

        tckd = _kl(
            _label_and_rest(student, student_others, label),
            _label_and_rest(teacher, teacher_others, label),
        )
        nckd = _kl(
            F.log_softmax(student_others, dim=1), F.log_softmax(teacher_others, dim=1)
        )
        return t**2 * (self.alpha * tckd + self.beta * nckd)


def _label_and_rest(log_p: Tensor, others: Tensor, label: Tensor) -> Tensor:
    """Log-probabilities ``(B, 2)`` of the label and of all others together."""
    rest = others.logsumexp(dim=1, keepdim=True)
    return torch.cat([log_p.gather(1, label.view(-1, 1)), rest], dim=1)


def _kl(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(teacher || student)`` of log-probabilities, the mean over the batch."""
    return F.kl_div(student, teacher, reduction='batchmean', log_target=True)
