from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_number, gather_batch
from .distill_loss import DistillLoss

EPSILON = 1e-6


@MODELS.register_module()
class UNICLoss(DistillLoss):
    r"""Direction of, and distance to, one of several teachers, from `UNIC: Universal
    Classification Models via Multi-teacher Distillation
    <https://arxiv.org/abs/2408.05088>`_.

    .. math::
        L_b = \frac{1}{N} \sum_{n=1}^{N} \Big( \frac{1 - \cos(s_{bn}, \bar t_{bn})}{2}
            + \frac{1}{2 C} \sum_{c=1}^{C} h(s_{bnc} - \bar t_{bnc}) \Big)

    :math:`h` is the smooth L1 distance. Each channel of :math:`\bar t` has a running
    mean and deviation taken out, so that teachers of any scale count alike. They are
    those of all processes' images and tokens, in checkpoints and not in exports. As
    released, a batch is compared first and moves them then.

    Args:
        momentum: A batch's share of the running statistics, between 0 and 1, which
            ``TermWeightHook(settings=...)`` lets fall from 1. Defaults to 0.001.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`; ``'none'`` for ``teacher_dropping``.

    Raises:
        ValueError: If ``momentum`` is not between 0 and 1.
    """

    center: Tensor
    scale: Tensor

    def __init__(
        self,
        momentum: float = 0.001,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        if not 0 <= check_number('momentum', momentum) <= 1:
            raise ValueError(f'momentum must be from 0 to 1, got {momentum}')
        self.momentum = momentum
        # the width is known with the first batch, in the dry run
        self.register_buffer('center', torch.zeros(0))
        self.register_buffer('scale', torch.ones(0))

    def forget(self) -> None:
        """Leave out the images of the dry run."""
        self.center.zero_()
        self.scale.fill_(1)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare ``(B, C)`` or ``(B, N, C)``."""
        return self.of_each(student, teacher).mean()

    def of_each(self, student: Tensor, teacher: Tensor, **extra: Any) -> Tensor:
        """Compare a batch, which then moves the statistics as a whole."""
        target = self._standardise(teacher)
        cosine = 1 - F.cosine_similarity(student, target, dim=-1)
        distance = F.smooth_l1_loss(student, target, reduction='none').mean(-1)
        loss = (cosine + distance) / 2  # (B) or (B, N)
        return loss.mean(1) if loss.ndim == 2 else loss

    @torch.no_grad()
    def _standardise(self, teacher: Tensor) -> Tensor:
        """Take the statistics out of a batch; in training, it moves them then."""
        if not len(self.center):
            self.center = teacher.new_zeros(teacher.shape[-1])
            self.scale = teacher.new_ones(teacher.shape[-1])
        target = (teacher - self.center) / (self.scale + EPSILON)
        if self.training:
            rows = teacher.flatten(0, -2)
            mean = _over_processes(rows.mean(0))
            squares = _over_processes((rows - mean).square().mean(0))
            count = len(rows) * get_world_size()
            std = (squares * count / max(count - 1, 1)).sqrt()
            self.center.lerp_(mean.to(self.center), self.momentum)
            self.scale.lerp_(std.to(self.scale), self.momentum)
        return target


def _over_processes(mean: Tensor) -> Tensor:
    return gather_batch(mean[None]).mean(0)
