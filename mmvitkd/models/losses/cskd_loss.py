import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_share
from .distill_loss import DistillLoss


@MODELS.register_module()
class CSKDLoss(DistillLoss):
    r"""Hard labels of every place, from `Cumulative Spatial Knowledge Distillation for
    Vision Transformers <https://arxiv.org/abs/2307.08500>`_.

    .. math::
        L_{cskd} = - \frac{1}{B N} \sum_{b,i} \log softmax(z^s_{b,i})_{y_{b,i}}, \quad
        y_{b,i} = argmax_k \Big( (1 - r) z^t_{b,i,k}
            + r \frac{1}{N} \sum_j z^t_{b,j,k} \Big)

    :math:`z` are logits of patch tokens, or of the places of a CNN's map, on one grid
    (``GridPooler``); their mean is what a CNN with average pooling predicts. Its share
    :math:`r` grows from 0 to 1 in the course of training, by ``TermWeightHook``:

    .. code:: python

        custom_hooks = [
            dict(
                type='mmvitkd.TermWeightHook',
                settings={'dense.global_share': dict(kind='ramp', end=300)})]

    Args:
        global_share: :math:`r` without that hook. Defaults to 0.0.
        loss_weight: Factor of the whole. Defaults to 1.0, as released.
        reduction: As for :class:`DistillLoss`.
    """

    exclusive = True  # classes are

    def __init__(
        self,
        global_share: float = 0.0,
        loss_weight: float = 1.0,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.global_share = float(check_share('global_share', global_share))

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare logits ``(B, N, K)`` of the same places."""
        overall = teacher.mean(1, keepdim=True)  # (B, 1, K)
        label = torch.lerp(teacher, overall, self.global_share).argmax(-1)
        return F.cross_entropy(student.flatten(0, 1), label.flatten())
