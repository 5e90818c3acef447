import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive, check_weight
from .logit_loss import LogitLoss

EPS = 1e-8  # as released


@MODELS.register_module()
class DISTLoss(LogitLoss):
    r"""Correlation of the predictions, as in `Knowledge Distillation from A
    Stronger Teacher <https://arxiv.org/abs/2205.10536>`_.

    .. math::
        L_{dist} = T^2 \Big(
            \frac{\beta}{B} \sum_{b=1}^{B} \big(1 - \rho(p^s_{b,:}, p^t_{b,:})\big)
            + \frac{\gamma}{K} \sum_{k=1}^{K}
            \big(1 - \rho(p^s_{:,k}, p^t_{:,k})\big) \Big)

    :math:`p = softmax(z / T)` is ``(B, K)`` and :math:`\rho` is Pearson's
    correlation: of a sample's classes (the inter-class relation), and of a class's
    samples (intra-class). As in the released code, 1e-8 is added to the product of
    the two norms that it divides by. A row or column that is constant on either side,
    as the student's are while its head is zero, counts as uncorrelated and gets no
    gradient; the released code's is about 1e8 times the teacher's deviation.

    The columns see only the samples of this process.

    Args:
        beta: Weight of the rows. Defaults to 1.0, as released for ImageNet.
        gamma: Weight of the columns. Defaults to 1.0, as released for ImageNet.
        temperature: :math:`T`. Defaults to 1.0.
        loss_weight: Factor of the whole. Defaults to 2.0, as released for ImageNet,
            beside 1 for the labels.
    """

    of_images = False

    def __init__(
        self,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
        loss_weight: float = 2.0,
    ) -> None:
        super().__init__(loss_weight)
        self.beta = check_weight('beta', beta)
        self.gamma = check_weight('gamma', gamma)
        self.temperature = check_positive('temperature', temperature)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Correlate the softened class distributions, by sample and by class."""
        t = self.temperature
        student, teacher = F.softmax(student / t, dim=1), F.softmax(teacher / t, dim=1)
        inter = 1 - _pearson(student, teacher, dim=1).mean()  # over (B,)
        intra = 1 - _pearson(student, teacher, dim=0).mean()  # over (K,)
        return t**2 * (self.beta * inter + self.gamma * intra)


def _pearson(x: Tensor, y: Tensor, dim: int) -> Tensor:
    x, y = _centre(x, dim), _centre(y, dim)
    return (x * y).sum(dim) / (x.norm(dim=dim) * y.norm(dim=dim) + EPS)


def _centre(x: Tensor, dim: int) -> Tensor:
    """Subtract the mean; what is constant but for rounding becomes zero."""
    centred = x - x.mean(dim, keepdim=True)
    rounding = 8 * torch.finfo(x.dtype).eps * x.norm(dim=dim, keepdim=True)
    return centred.masked_fill(centred.norm(dim=dim, keepdim=True) <= rounding, 0)
