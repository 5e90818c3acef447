from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class CosineLoss(DistillLoss):
    r"""One minus the cosine of the two sides, of logits or of features.

    .. math::
        L_{cos} = \frac{1}{B} \sum_{b=1}^{B} \Big( 1
            - \frac{s_b \cdot t_b}{\|s_b\|_2 \|t_b\|_2} \Big)

    It lies between 0 and 2. It is half of :class:`NormalisedMSELoss`, and computed as
    such: near the teacher one minus a cosine would lose its digits. Of tokens it is the
    mean over them, too. A vector of zeros gets no gradient.

    Args:
        loss_weight: Factor of the whole. Defaults to 1.0.
    """

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare where ``(B, C)`` or ``(B, N, C)`` point, whatever their length."""
        difference = unit_length(student) - unit_length(teacher)
        return difference.square().sum(-1).mean() / 2
