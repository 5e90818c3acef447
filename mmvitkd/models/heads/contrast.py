import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils import check_positive, check_weight


class Contrast(nn.Module):
    r"""InfoNCE between two views of a batch; a kind says which samples repel.

    .. math::
        L = \frac{1}{|A|} \sum_{i \in A} -\log \frac{e^{s(i, i^+) / \tau}}
            {e^{s(i, i^+) / \tau} + \sum_{j \in N(i)} e^{s(i, j) / \tau}}

    :math:`i^+` is the other view of image :math:`i`, :math:`s` the cosine. A kind
    gives the negatives :math:`N(i)` and, if not all samples do, the anchors
    :math:`A` that count. An anchor without negatives contributes 0, and so does a
    batch without anchors.

    With several processes each contrasts its own part of the batch.

    Args:
        temperature: :math:`\tau`. Defaults to 0.1.
        loss_weight: Factor of the whole. Defaults to 0.03.

    Raises:
        ValueError: If ``temperature`` is not above 0.
    """

    def __init__(self, temperature: float = 0.1, loss_weight: float = 0.03) -> None:
        super().__init__()
        self.temperature = check_positive('temperature', temperature)
        self.loss_weight = check_weight('loss_weight', loss_weight)

    def reserve(self, num_classes: int, channels: int) -> None:
        """Make room for what the kind remembers of earlier batches, if anything.

        The head calls it once, when both are known.
        """

    def negatives(self, anchors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compare the anchors with what may repel them.

        Args:
            anchors: ``(B, C)`` of length 1.
            labels: ``(B,)``.

        Returns:
            Cosines ``(B, M)``, and a bool ``(B, M)``, True for a negative.
        """
        raise NotImplementedError

    def counted(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Say which anchors count, by default all.

        Args:
            logits: ``(B, K)`` of the anchors.
            labels: ``(B,)``.

        Returns:
            A bool ``(B,)``.
        """
        return torch.ones_like(labels, dtype=torch.bool)

    def forward(
        self, first: Tensor, second: Tensor, logits: Tensor, labels: Tensor
    ) -> Tensor:
        """Contrast the first view of every image with the second and the others.

        Args:
            first: Features ``(B, C)`` of the first view, the anchors.
            second: Features ``(B, C)`` of the second view, the positives.
            logits: ``(B, K)`` of the first view.
            labels: ``(B,)`` indices.

        Returns:
            A scalar that includes ``loss_weight``.
        """
        # a half-precision product would lose the cosines' differences
        with torch.autocast(first.device.type, enabled=False):
            anchors = F.normalize(first.float(), dim=1)
            positives = F.normalize(second.float(), dim=1)
            positive = (anchors * positives).sum(1, keepdim=True)  # (B, 1)
            cosines, repels = self.negatives(anchors, labels)  # (B, M) both
            negative = cosines.masked_fill(~repels, -torch.inf)
            scores = torch.cat([positive, negative], dim=1) / self.temperature
            place = torch.zeros_like(labels)  # of the positive
            losses = F.cross_entropy(scores, place, reduction='none')  # (B,)
        counts = self.counted(logits, labels)
        # the sum of none is 0, still attached to the graph
        return self.loss_weight * (losses * counts).sum() / counts.sum().clamp(min=1)
