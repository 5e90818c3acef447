import logging

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive
from .contrast import Contrast


@MODELS.register_module()
class IntraClassContrast(Contrast):
    r"""Margin-based intra-class contrast, from `Enriching Knowledge Distillation
    with Intra-Class Contrastive Learning <https://arxiv.org/abs/2509.22053>`_.

    Other samples of the same class repel, so a class spreads instead of shrinking
    to a point and the teacher's soft labels tell its images apart. Only anchors
    that are classified with a margin count (equation 7):

    .. math::
        A = \{i : p_{i, y} - \max_{k \neq y} p_{i, k} > \delta\}

    See :class:`Contrast` for the loss. Not public, and therefore **ours**: the
    feature (the one before the last linear layer), the cosine, the temperature,
    the positive in the denominator, only first views as negatives, the mean over
    the anchors that count, the size of the cache and ``loss_weight``.

    The cache holds each class's last features, detached, since a batch has few
    samples of one class. It is in no checkpoint and every process has its own: a
    resumed run begins with an empty one.

    Args:
        margin: :math:`\delta`, from 0 to 1. At 1 no anchor counts, so the loss is
            off, and the log says so. Defaults to 0.5.
        cache_size: How many features of a class are kept. Defaults to 16.
        temperature: :math:`\tau`. Defaults to 0.1.
        loss_weight: Factor of the whole. Defaults to 0.03.

    Raises:
        ValueError: If ``margin`` is not in [0, 1], or ``cache_size`` or
            ``temperature`` not above 0.
    """

    cache: Tensor
    stored: Tensor

    def __init__(
        self,
        margin: float = 0.5,
        cache_size: int = 16,
        temperature: float = 0.1,
        loss_weight: float = 0.03,
    ) -> None:
        super().__init__(temperature, loss_weight)
        if not 0 <= margin <= 1:
            raise ValueError(
                f'margin must be from 0 to 1, a difference of probabilities, got '
                f'{margin}'
            )
        if margin == 1:
            print_log(
                'IntraClassContrast: no probability is more than margin=1 above '
                'another, so this loss is always 0',
                logger='current',
                level=logging.WARNING,
            )
        self.margin = margin
        self.cache_size = int(check_positive('cache_size', cache_size))

    def reserve(self, num_classes: int, channels: int) -> None:
        """Make an empty cache of ``(K, S, C)``."""
        cache = torch.zeros(num_classes, self.cache_size, channels)
        self.register_buffer('cache', cache, persistent=False)
        # how many features each class has stored so far, so where its next goes
        stored = torch.zeros(num_classes, dtype=torch.long)
        self.register_buffer('stored', stored, persistent=False)

    def counted(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return a bool ``(B,)``, True where the margin is above delta."""
        p = logits.detach().float().softmax(1)  # (B, K)
        label = labels[:, None]
        highest_other = p.scatter(1, label, 0.0).amax(1)
        return p.gather(1, label)[:, 0] - highest_other > self.margin

    def negatives(self, anchors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compare ``(B, C)`` anchors with their class, in the batch and before it."""
        same = (labels[:, None] == labels).fill_diagonal_(False)  # (B, B)
        earlier = self.cache[labels].float()  # (B, S, C)
        slots = torch.arange(self.cache_size, device=labels.device)
        filled = slots < self.stored[labels][:, None]  # (B, S)
        cosines = [anchors @ anchors.T, torch.einsum('bc,bsc->bs', anchors, earlier)]
        return torch.cat(cosines, dim=1), torch.cat([same, filled], dim=1)

    def forward(
        self, first: Tensor, second: Tensor, logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Contrast, then keep the anchors; see :class:`Contrast`."""
        loss = super().forward(first, second, logits, labels)
        self.store(first, labels)
        return loss

    @torch.no_grad()
    def store(self, features: Tensor, labels: Tensor) -> None:
        """Let ``(B, C)`` features replace the oldest of their classes."""
        same = labels[:, None] == labels  # (B, B)
        # of a class with more samples than slots, its last ones
        last = same.triu(1).sum(1) < self.cache_size
        features, labels, same = features[last], labels[last], same[last][:, last]
        rank = same.tril(-1).sum(1)  # within the class
        slot = (self.stored[labels] + rank) % self.cache_size
        kept = F.normalize(features.float(), dim=1)
        self.cache[labels, slot] = kept.to(self.cache.dtype)
        self.stored += F.one_hot(labels, len(self.stored)).sum(0)
