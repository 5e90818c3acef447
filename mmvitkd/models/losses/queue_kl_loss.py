from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_count, check_positive, gather_batch, unit_length
from .distill_loss import DistillLoss

NEVER = -1e4  # a logit of no probability, whose product with it is still 0


@MODELS.register_module()
class QueueKLLoss(DistillLoss):
    r"""Similarity to images seen before, as `LightlyTrain's third distillation method
    <https://docs.lightly.ai/train/stable/pretrain_distill/methods/distillation.html>`_
    has it for whole images. No labels are needed.

    .. math::
        L_{queue} = \frac{1}{B} \sum_{b=1}^{B} KL\big(
            softmax(Q \hat t_b / \tau) \,\big\|\, softmax(Q \hat s_b / \tau) \big)

    The rows of :math:`Q` are the teacher's last embeddings, of length 1, like
    :math:`\hat t` and :math:`\hat s`: a classifier of as many classes as images. Those
    of the batch enter it before the loss. Of patch tokens the embedding is the mean.

    The queue is in checkpoints, and not in exports. It holds the embeddings of all
    processes, so that a resumed run has it whole; the released one is each process's
    own, and begins with rows of zeros, which are left out here until it is full.

    Args:
        size: Rows of :math:`Q`; released: about a quarter to half of the data set, 16
            for 50 images, at most 8,192. Defaults to 8192.
        temperature: :math:`\tau`. Defaults to 0.07, as released.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.
    """

    queue: Tensor
    count: Tensor

    def __init__(
        self,
        size: int = 8192,
        temperature: float = 0.07,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.size = check_count('size', size)
        self.temperature = check_positive('temperature', temperature)
        # the width is known with the first batch, in the dry run
        self.register_buffer('queue', torch.zeros(self.size, 0))
        self.register_buffer('count', torch.zeros((), dtype=torch.long))

    def forget(self) -> None:
        """Empty the queue, of the images of the dry run."""
        self.queue.zero_()
        self.count.zero_()

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare similarities of ``(B, C)``, or of the means of ``(B, N, C)``."""
        sides = self._log_similarities(student, teacher)
        return F.kl_div(*sides, reduction='batchmean', log_target=True)

    def of_each(self, student: Tensor, teacher: Tensor, **extra: Any) -> Tensor:
        """Compare them with a queue into which the whole batch has entered."""
        sides = self._log_similarities(student, teacher)
        return F.kl_div(*sides, reduction='none', log_target=True).sum(1)

    def _log_similarities(
        self, student: Tensor, teacher: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return ``(B, size)`` of either side."""
        s, t = (x.mean(1) if x.ndim == 3 else x for x in (student, teacher))
        s, t = unit_length(s), unit_length(t)
        queue, count = self._enter(t)
        empty = torch.arange(self.size, device=s.device) >= count
        logits = ((x @ queue.to(x).T / self.temperature) for x in (s, t))
        ours, theirs = (x.masked_fill(empty, NEVER) for x in logits)
        return ours.log_softmax(1), theirs.log_softmax(1)

    @torch.no_grad()
    def _enter(self, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Put a batch before the others; in training, it stays."""
        new = gather_batch(teacher)[: self.size].to(self.queue)
        held = self.queue
        if held.shape[1] == 0:
            held = new.new_zeros(self.size, new.shape[1])
        queue = torch.cat([new, held[: self.size - len(new)]])
        count = (self.count + len(new)).clamp(max=self.size)
        if self.training and self.queue.shape == queue.shape:
            self.queue.copy_(queue)
            self.count.copy_(count)
        elif self.training:
            self.queue, self.count = queue.clone(), count.clone()
        return queue, count
