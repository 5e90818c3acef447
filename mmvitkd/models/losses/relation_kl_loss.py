import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive, check_same_tokens, gram, unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class RelationKLLoss(DistillLoss):
    r"""Which tokens of an image are alike, as `LightlyTrain's third distillation method
    <https://docs.lightly.ai/train/stable/pretrain_distill/methods/distillation.html>`_
    has it for patches. No labels are needed.

    .. math::
        L_{rel} = \frac{1}{B N} \sum_{b=1}^{B} \sum_{i=1}^{N} KL\big(
            softmax(\hat T_b \hat T_b^\top / \tau)_i \,\big\|\,
            softmax(\hat S_b \hat S_b^\top / \tau)_i \big)

    Tokens have length 1. Widths cancel, so the term needs no neck; the released method
    has a linear layer to the teacher's width. Memory grows with :math:`B N^2`.

    Args:
        temperature: :math:`\tau`. Defaults to 0.07, as released.
        loss_weight: Factor of the whole. Defaults to 1.0, as released.
        reduction: As for :class:`DistillLoss`.
    """

    check_shapes = staticmethod(check_same_tokens)

    def __init__(
        self,
        temperature: float = 0.07,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.temperature = check_positive('temperature', temperature)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare every token's similarities, ``(B, N, C_s)`` and ``(B, N, C_t)``."""
        ours, theirs = (
            (gram(unit_length(x)) / self.temperature).log_softmax(-1).flatten(0, 1)
            for x in (student, teacher)
        )  # (B * N, N)
        return F.kl_div(ours, theirs, reduction='batchmean', log_target=True)
