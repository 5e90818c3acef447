import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_weight
from .distill_loss import DistillLoss


@MODELS.register_module()
class AdversarialFeatureLoss(DistillLoss):
    r"""Squared distance of features, and a discriminator's loss, from
    `Cross-Architecture Knowledge Distillation <https://arxiv.org/abs/2207.05273>`_.

    .. math::
        L = \| h^T - h^S \|^2 - \lambda \big( \log D(h^T) + \log(1 - D(h^S)) \big)

    Means over tokens, and over channels of the first part. The last channel of both
    sides is the logit of :math:`D`, as :class:`AdversarialNeck` returns them. There
    the gradient of the student is reversed, so that for it the second part is the
    paper's :math:`\lambda \log(1 - D(h^S))`, while the discriminator learns by the
    same number. A discriminator that can't tell has :math:`2 \lambda \log 2`.

    Args:
        adversarial: :math:`\lambda`. Defaults to 1.0.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: As for :class:`DistillLoss`.
    """

    def __init__(
        self,
        adversarial: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.adversarial = check_weight('adversarial', adversarial)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare all channels of ``(B, N, C + 1)`` but the verdict."""
        distance = (teacher[..., :-1] - student[..., :-1]).square().mean()
        told = F.softplus(-teacher[..., -1]) + F.softplus(student[..., -1])
        return distance + self.adversarial * told.mean()
