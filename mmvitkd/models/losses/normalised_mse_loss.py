from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class NormalisedMSELoss(DistillLoss):
    r"""Squared distance of the directions, as in `Patient Knowledge
    Distillation for BERT Model Compression <https://arxiv.org/abs/1908.09355>`_.

    .. math::
        L_{pt} = \frac{1}{B} \sum_{b=1}^{B} \Big\| \frac{s_b}{\|s_b\|_2}
            - \frac{t_b}{\|t_b\|_2} \Big\|_2^2

    The paper takes class tokens of several layers, here a term each; of patch
    tokens it is the mean over them, too. It is twice one minus their cosine and
    lies between 0 and 4. A vector of zeros stays one, and gets no gradient.

    Args:
        loss_weight: Factor of the whole. Defaults to 1.0.
    """

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare where ``(B, C)`` or ``(B, N, C)`` point, whatever their length."""
        return (unit_length(student) - unit_length(teacher)).square().sum(-1).mean()
