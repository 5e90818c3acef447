import torch
from torch import Tensor

from mmvitkd.registry import MODELS

from .contrast import Contrast


@MODELS.register_module()
class SelfSupervisedContrast(Contrast):
    """All other samples of the batch repel, whatever their labels.

    As in `SimCLR <https://arxiv.org/abs/2002.05709>`_, with only the first views
    as negatives and without its projection head, so that it differs from
    :class:`IntraClassContrast` in the negatives and the anchors only. That choice
    is ours. See :class:`Contrast` for the equation and the arguments.
    """

    def negatives(self, anchors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compare ``(B, C)`` anchors with each other; see :class:`Contrast`."""
        own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        return anchors @ anchors.T, ~own
