from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_positive, check_same_tokens, gram, unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class HiddenRelationLoss(DistillLoss):
    r"""Relations among the tokens that leave a block, from `MiniViT: Compressing Vision
    Transformers with Weight Multiplexing <https://arxiv.org/abs/2204.07154>`_.

    .. math::
        L_{hid} = \frac{w}{B N^2} \sum_{b=1}^{B}
            \| H^s_b {H^s_b}^\top - H^t_b {H^t_b}^\top \|_F^2

    Every token of :math:`H`, ``(B, N, C)``, has length 1. The factor :math:`w` and the
    mean over the entries are those of the released code; but for :math:`w` it is the
    part of ``ManifoldLoss`` within images. Widths cancel, so the term needs no neck.
    Of more tokens than channels the same is computed from :math:`{H^s}^\top H^s`,
    :math:`{H^s}^\top H^t` and :math:`{H^t}^\top H^t`, ``(B, C, C)``: on the 56x56 grid
    of a Swin a relation would take 39 MB an image. Near the teacher their squares all
    but cancel, so that part is computed in float64.

    Args:
        window_area: :math:`w`. Defaults to 49, as released, of Swin's 7x7 windows; it
            is 49 for blocks of any grid.
        loss_weight: Factor of the whole. Defaults to 0.1, as released.
        reduction: As for :class:`DistillLoss`.
    """

    check_shapes = staticmethod(check_same_tokens)

    def __init__(
        self,
        window_area: float = 49.0,
        loss_weight: float = 0.1,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.window_area = check_positive('window_area', window_area)

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the Gram matrices of an image's tokens, ``(B, N, C)``."""
        entries = student.shape[0] * student.shape[1] ** 2
        if student.shape[1] <= max(student.shape[-1], teacher.shape[-1]):
            s, t = unit_length(student), unit_length(teacher)
            distance = (gram(s) - gram(t)).square().sum()  # (B, N, N)
        else:
            s, t = unit_length(student.double()), unit_length(teacher.double())
            distance = _by_channels(s.transpose(1, 2), t.transpose(1, 2))
        return self.window_area * distance.to(student.dtype) / entries


def _by_channels(s: Tensor, t: Tensor) -> Tensor:
    """Sum up the tokens' squared differences, of channels ``(B, C, N)``."""
    products = gram(s), s @ t.transpose(1, 2), gram(t)  # (B, C_s, C_t) the second
    own, cross, teachers = (x.square().sum() for x in products)
    return own - 2 * cross + teachers
