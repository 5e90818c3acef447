import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive
from .distill_loss import DistillLoss


@MODELS.register_module()
class CWDLoss(DistillLoss):
    r"""Where a channel is active, as a distribution over the places of an image:
    `Channel-wise Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/2011.13256>`_.

    .. math::
        L_{cwd} = T^2 \frac{1}{B C} \sum_{b=1}^{B} \sum_{c=1}^{C}
            KL(softmax_i(F^T_{b,i,c} / T) \| softmax_i(F^S_{b,i,c} / T))

    The softmax runs over the places :math:`i` of a channel. The authors take the logits
    of a segmentor, ``decode_head.conv_seg``, whose channels are classes, or features
    behind a 1x1 convolution, a ``LinearProjector`` as the term's neck.

    Args:
        temperature: :math:`T`. Defaults to 1.0.
        loss_weight: Factor of the whole. Defaults to 5.0, mmrazor's for the logits of
            PSPNet.
        reduction: None, or ``'none'`` for a value of each image. Defaults to None.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        loss_weight: float = 5.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.temperature = check_positive('temperature', temperature)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the channels of ``(B, N, C)``.

        Raises:
            ValueError: If there are no places, as of logits ``(B, K)``.
        """
        if student.ndim != 3:
            raise ValueError(
                f'CWDLoss compares the places of a map or of tokens (B, N, C), got '
                f'{tuple(student.shape)}: tap what is not yet pooled'
            )
        t = self.temperature
        student, teacher = ((x / t).log_softmax(1) for x in (student, teacher))
        error = F.kl_div(student, teacher, reduction='none', log_target=True).sum(1)
        return t**2 * error.mean()  # (B, C)
