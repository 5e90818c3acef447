from typing import Any

import torch
from torch import Tensor

from ..utils import MULTI_LABEL_ADVICE, check_logits, hard_labels, is_compiling
from .distill_loss import DistillLoss

CHECKED_TARGETS = 10  # of the first batches; a look at each would wait for the GPU


class LogitLoss(DistillLoss):
    """A loss on logits ``(B, K)`` of the same classes.

    Args:
        loss_weight: As for :class:`DistillLoss`, as is the next.
        reduction: See there.

    Attributes:
        exclusive: Whether a sample belongs to one class, as a softmax has it. Several
            labels an image are refused then.
        needs_labels: Whether ``equation`` gets ``label``, class indices ``(B,)``; of
            mixed labels the class of the largest share.
    """

    check_shapes = staticmethod(check_logits)
    exclusive = True
    needs_labels = False

    def __init__(self, loss_weight: float = 1.0, reduction: str | None = None) -> None:
        super().__init__(loss_weight, reduction)
        self._unchecked = CHECKED_TARGETS

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
        **extra: Any,
    ) -> Tensor:
        """Weigh the equation.

        Args:
            student: Logits ``(B, K)``.
            teacher: Logits ``(B, K)``.
            target: Labels, as indices ``(B,)`` or scores ``(B, K)``.
            mask: Must be None: logits have none.
            extra: As for :class:`DistillLoss`.

        Raises:
            ValueError: If the logits are of other classes, labels are missing, or an
                image has several where classes exclude each other.
        """
        name = type(self).__name__
        # a compiled term would have to be compiled anew for every look
        check = self.exclusive and not is_compiling() and self._unchecked
        if check and target is not None:
            _check_exclusive(target, len(student), name)
            self._unchecked -= 1
        if self.needs_labels:
            extra['label'] = hard_labels(target, name)
        return super().forward(student, teacher, target, mask, **extra)


def _check_exclusive(target: Tensor, batch: int, loss: str) -> None:
    """Refuse labels ``(B,)`` or scores ``(B, K)`` of several classes an image.

    Raises:
        ValueError: If there are more indices than images, or an image's scores do not
            sum to 1, as those of mixed labels do.
    """
    if target.ndim == 1:
        found = '' if len(target) == batch else f'{len(target)} for {batch} images'
    else:
        sums = target.float().sum(1)
        furthest = float(sums[(sums - 1).abs().argmax()])
        # half precision rounds the shares
        found = f'a sum of {furthest:g} for one' if abs(furthest - 1) > 0.02 else ''
    if found:
        raise ValueError(
            f'{loss} takes labels of classes that exclude each other, 1 for each image '
            f'if mixed or not, got {found}: {MULTI_LABEL_ADVICE}'
        )


def drop_label(logits: Tensor, label: Tensor) -> Tensor:
    """Leave every sample's label out of its logits.

    Args:
        logits: ``(B, K)``.
        label: Class indices ``(B,)``.

    Returns:
        ``(B, K - 1)``, the other classes in their order.
    """
    classes = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, classes + (classes >= label.view(-1, 1)))
