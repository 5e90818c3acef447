import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from .distill_loss import DistillLoss


@MODELS.register_module()
class ProjectorLoss(DistillLoss):
    r"""Squared distance of standardised channels: ProjectorKD, to which
    `Distillation Dynamics <https://arxiv.org/abs/2511.06848>`_ compares SpectralKD.

    .. math::
        L_{proj} = \frac{1}{B N C} \sum_{b,i,c} (\bar F^S_{b,i,c} - \bar F^T_{b,i,c})^2,
        \quad \bar F_{b,i,c} = \frac{F_{b,i,c} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}

    Mean and variance of a channel are those of the batch's tokens, on either side, in
    this process alone. For a channel it is twice one minus the two sides' correlation,
    so it lies between 0 and 4, and no scale or shift of a teacher's channel matters.

    The released code has a batch normalisation on both sides; their scales and shifts
    stay at 1 and 0, as does everything in the criterion: its optimiser has been built
    before. So there are none here; a scale on the teacher's side that did learn could
    shrink the loss to nothing. The projector, a ``LinearProjector`` as the term's neck,
    does learn here, where the released one stays as it was drawn.

    Args:
        loss_weight: Factor of the whole; a mean over several pairs of layers is a term
            each, with ``1 / pairs`` of the weight. Defaults to the authors' 0.2.
    """

    of_images = False

    def __init__(self, loss_weight: float = 0.2) -> None:
        super().__init__(loss_weight)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare every channel of ``(B, N, C)`` or ``(B, C)`` over the batch's tokens.

        Raises:
            ValueError: If there is one token in all, which has no variance.
        """
        tokens = student.shape[:-1].numel()
        if tokens < 2:
            raise ValueError(
                f'ProjectorLoss needs the variance over the tokens of a batch, got '
                f'{tokens}: use a larger batch, or tap patch tokens'
            )
        return (_standardise(student) - _standardise(teacher)).square().mean()


def _standardise(x: Tensor) -> Tensor:
    """Give every channel mean 0 and variance 1, ``(..., C)`` to ``(M, C)``."""
    return F.batch_norm(x.flatten(0, -2), None, None, training=True)
