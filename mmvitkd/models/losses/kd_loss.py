import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_positive
from .logit_loss import LogitLoss


@MODELS.register_module()
class KDLoss(LogitLoss):
    r"""Soft labels of the teacher, as in `Distilling the Knowledge in a Neural
    Network <https://arxiv.org/abs/1503.02531>`_.

    .. math::
        L_{kd} = T^2 \frac{1}{B} \sum_{b=1}^{B}
            KL(softmax(z^t_b / T) \| softmax(z^s_b / T))

    Several labels an image, of classes that do not exclude each other, have the sum of
    every class's binary divergence instead, as in `Multi-Label Knowledge Distillation
    <https://arxiv.org/abs/2308.06453>`_ (there without a temperature):

    .. math::
        L_{kd} = T^2 \frac{1}{B} \sum_{b=1}^{B} \sum_{k=1}^{K}
            KL(\mathrm{Bern}(\sigma(z^t_{b,k} / T)) \|
            \mathrm{Bern}(\sigma(z^s_{b,k} / T)))

    Args:
        temperature: :math:`T`. Defaults to 4.0.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: ``'batchmean'`` divides by :math:`B`, as above; ``'mean'`` by
            :math:`B K`, the classes too, as DeiT's released code and what builds on
            it, so that 1 / 1000 is left on ImageNet. Defaults to ``'batchmean'``.
        activation: ``'softmax'``, the first equation, or ``'sigmoid'``, the second.
            Defaults to ``'softmax'``.
    """

    reductions = ('batchmean', 'mean')

    def __init__(
        self,
        temperature: float = 4.0,
        loss_weight: float = 1.0,
        reduction: str = 'batchmean',
        activation: str = 'softmax',
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.temperature = check_positive('temperature', temperature)
        check_choice('activation', activation, ('softmax', 'sigmoid'))
        self.exclusive = activation == 'softmax'

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the softened class distributions."""
        t = self.temperature
        student, teacher = self._log_shares(student / t), self._log_shares(teacher / t)
        error = F.kl_div(student, teacher, reduction='none', log_target=True).sum(1)
        return t**2 * self.reduce(error)  # (B, K)

    def _log_shares(self, logits: Tensor) -> Tensor:
        """Return log-probabilities ``(B, outcomes, K)`` whose divergences add up."""
        if self.exclusive:
            return F.log_softmax(logits, dim=1)[:, None]
        return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)
