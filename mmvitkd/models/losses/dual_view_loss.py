from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_choice, unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class DualViewLoss(DistillLoss):
    r"""Squared distance of directions at every place, with or without what all places
    share, from `ScaleKD: Strong Vision Transformers Could Be Excellent Teachers
    <https://arxiv.org/abs/2411.06786>`_.

    .. math::
        L = \frac{1}{B} \sum_{b,i} \Big\| \frac{s_{b,i}}{\|s_{b,i}\|_2}
            - \frac{t_{b,i}}{\|t_{b,i}\|_2} \Big\|_2^2

    The other view takes the mean over the grid off both sides before. The paper and its
    code go to frequencies for that, by a discrete cosine transform, and leave out the
    lowest one, which is that mean; back again it is the same.

    Args:
        view: ``'spatial'``, or ``'no-mean'``, the paper's frequencies. Defaults to
            ``'spatial'``.
        loss_weight: Factor of the whole. Defaults to the paper's 0.08, of the spatial
            view; the other has 0.06.
        reduction: ``'sum'`` over the places, or their ``'mean'``. Defaults to
            ``'sum'``.
    """

    reductions = ('sum', 'mean')

    def __init__(
        self, view: str = 'spatial', loss_weight: float = 0.08, reduction: str = 'sum'
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.view = check_choice('view', view, ('spatial', 'no-mean'))

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare where ``(B, N, C)`` point."""
        if self.view == 'no-mean':
            student, teacher = (x - x.mean(1, keepdim=True) for x in (student, teacher))
        return self.reduce(
            (unit_length(student) - unit_length(teacher)).square().sum(-1)
        )
