import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_logits


@MODELS.register_module()
class HardKDLoss(nn.Module):
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

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Compare the student's distribution with the teacher's decision.

        Args:
            student: Logits ``(B, K)``.
            teacher: Logits ``(B, K)``.
            target: Part of every loss's contract; the teacher's label replaces it.
            mask: Part of every loss's contract; logits have none.

        Raises:
            ValueError: If the logits are not ``(B, K)`` of the same classes.
        """
        check_logits(student, teacher)
        return self.loss_weight * F.cross_entropy(student.float(), teacher.argmax(1))
