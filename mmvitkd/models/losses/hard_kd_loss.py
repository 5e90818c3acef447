import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from .logit_loss import LogitLoss


@MODELS.register_module()
class HardKDLoss(LogitLoss):
    r"""Hard labels of the teacher, as in `Training data-efficient image
    transformers & distillation through attention
    <https://arxiv.org/abs/2012.12877>`_.

    .. math::
        L_{hard} = - \frac{1}{B} \sum_{b=1}^{B}
            \log softmax(z^s_b)_{y^t_b}, \quad y^t_b = argmax_k z^t_{b,k}

    The paper halves this and the loss on the true labels: say ``loss_weight=0.5``
    here and ``task_weight=0.5`` on the distiller. The teacher's label is not
    smoothed. In the paper the logits are those of a distillation token, which
    :class:`ExtraTokenClsHead` has.

    Args:
        loss_weight: Factor of the whole. Defaults to 1.0.
    """

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the student's distribution with the teacher's decision."""
        return F.cross_entropy(student, teacher.argmax(1))
