import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_choice
from .distill_loss import DistillLoss


@MODELS.register_module()
class SmoothL1Loss(DistillLoss):
    r"""Smooth L1 distance to the teacher's standardised features, from `VkD: Improving
    Knowledge Distillation using Orthogonal Projections
    <https://arxiv.org/abs/2403.06213>`_.

    .. math::
        L_{vkd} = \frac{1}{B C} \sum_{b,c} h(s_{b,c} - \bar t_{b,c}), \quad
        h(e) = \begin{cases} e^2 / 2 & |e| < 1 \\ |e| - 1/2 & \text{else} \end{cases}

    :math:`\bar t` has mean 0 and variance 1 over its channels: a layer norm without
    parameters, which the paper takes for classification. It is the neck,
    ``OrthogonalProjector``, that makes the method of it. Of tokens it is the mean over
    them, too.

    Args:
        teacher_norm: ``'layer'``, or ``'none'`` to take the teacher as it is. Defaults
            to ``'layer'``.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.
    """

    def __init__(
        self,
        teacher_norm: str = 'layer',
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        norms = ('layer', 'none')
        self.teacher_norm = check_choice('teacher_norm', teacher_norm, norms)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare ``(B, C)`` or ``(B, N, C)``."""
        if self.teacher_norm == 'layer':
            teacher = F.layer_norm(teacher, teacher.shape[-1:])
        return F.smooth_l1_loss(student, teacher)
