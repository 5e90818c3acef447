from torch import Tensor

from mmvitkd.registry import MODELS

from .logit_loss import LogitLoss


@MODELS.register_module()
class LogitMSELoss(LogitLoss):
    r"""Squared distance of the logits, as in `Comparing Kullback-Leibler Divergence and
    Mean Squared Error Loss in Knowledge Distillation
    <https://arxiv.org/abs/2105.08919>`_.

    .. math::
        L_{mse} = \frac{1}{B} \sum_{b=1}^{B} \| z^s_b - z^t_b \|_2^2

    At a high temperature :class:`KDLoss` tends to the same divided by :math:`2 K`, of
    logits whose means are taken out. Several labels an image are fine.

    Args:
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: ``'batchmean'`` divides by :math:`B`, as above; ``'mean'`` by
            :math:`B K`, the classes too. Defaults to ``'batchmean'``.
    """

    exclusive = False
    reductions = ('batchmean', 'mean')

    def __init__(self, loss_weight: float = 1.0, reduction: str = 'batchmean') -> None:
        super().__init__(loss_weight, reduction)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare logits ``(B, K)`` one by one."""
        return self.reduce((student - teacher).square())
