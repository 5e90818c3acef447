import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_logits, check_positive, unit_length


@MODELS.register_module()
class DISTLoss(nn.Module):
    r"""Correlation of the predictions, as in `Knowledge Distillation from A
    Stronger Teacher <https://arxiv.org/abs/2205.10536>`_.

    .. math::
        L_{dist} = T^2 \Big(
            \frac{\beta}{B} \sum_{b=1}^{B} \big(1 - \rho(p^s_{b,:}, p^t_{b,:})\big)
            + \frac{\gamma}{K} \sum_{k=1}^{K}
            \big(1 - \rho(p^s_{:,k}, p^t_{:,k})\big) \Big)

    :math:`p = softmax(z / T)` is ``(B, K)`` and :math:`\rho` is Pearson's
    correlation: of a sample's classes (the inter-class relation), and of a class's
    samples (intra-class). A row or column that is constant on either side, as the
    student's are while its head is zero, counts as uncorrelated and gets no
    gradient.

    The columns see the samples of this process alone.

    Args:
        beta: Weight of the rows. Defaults to 1.0, as released for ImageNet.
        gamma: Weight of the columns. Defaults to 1.0, as released for ImageNet.
        temperature: :math:`T`. Defaults to 1.0.
        loss_weight: Factor of the whole. Defaults to 1.0.

    Raises:
        ValueError: If ``temperature`` is not above 0.
    """

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.beta = beta
        self.gamma = gamma
        self.temperature = check_positive('temperature', temperature)
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Correlate the softened class distributions, by sample and by class.

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
        student = F.softmax(student.float() / t, dim=1)
        teacher = F.softmax(teacher.float() / t, dim=1)
        inter = 1 - _pearson(student, teacher, dim=1).mean()  # over (B,)
        intra = 1 - _pearson(student, teacher, dim=0).mean()  # over (K,)
        return self.loss_weight * t**2 * (self.beta * inter + self.gamma * intra)


def _pearson(x: Tensor, y: Tensor, dim: int) -> Tensor:
    return (_standardise(x, dim) * _standardise(y, dim)).sum(dim)


def _standardise(x: Tensor, dim: int) -> Tensor:
    """Mean 0 and length 1; what is constant but for rounding becomes zero."""
    rounding = 1e-6 * x.norm(dim=dim, keepdim=True)
    return unit_length(x - x.mean(dim, keepdim=True), dim, least=rounding)
