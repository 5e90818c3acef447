import torch
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_no_mask, check_positive, check_same_tokens, gram, unit_length


@MODELS.register_module()
class HiddenRelationLoss(nn.Module):
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
    of a Swin a relation would take 39 MB an image.

    Args:
        window_area: :math:`w`. Defaults to 49, as released, of Swin's 7x7 windows; it
            is 49 for blocks of any grid.
        loss_weight: Factor of the whole. Defaults to 0.1, as released.

    Raises:
        ValueError: If ``window_area`` is not above 0.
    """

    def __init__(self, window_area: float = 49.0, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.window_area = check_positive('window_area', window_area)
        self.loss_weight = loss_weight

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Compare the Gram matrices of an image's tokens.

        Args:
            student: ``(B, N, C_s)``.
            teacher: ``(B, N, C_t)``.
            target: Part of every loss's contract, unused by features.
            mask: Must be None: a neck that masks goes with ``ViTKDGenLoss``.

        Raises:
            ValueError: If the batch or the token counts differ, or a mask is given.
        """
        check_no_mask(mask, 'HiddenRelationLoss')
        check_same_tokens(student, teacher)
        s, t = unit_length(student.float()), unit_length(teacher.float())
        entries = s.shape[0] * s.shape[1] ** 2
        return self.loss_weight * self.window_area * _distance(s, t) / entries


def _distance(s: Tensor, t: Tensor) -> Tensor:
    """Sum up the squared differences of two Gram matrices, of ``(B, N, C)`` tokens."""
    if s.shape[1] <= max(s.shape[-1], t.shape[-1]):
        return (gram(s) - gram(t)).square().sum()  # (B, N, N)
    s, t = s.transpose(1, 2), t.transpose(1, 2)
    with torch.autocast(s.device.type, enabled=False):
        cross = s @ t.transpose(1, 2)  # (B, C_s, C_t)
    squares = [x.square().sum() for x in (gram(s), cross, gram(t))]
    return squares[0] - 2 * squares[1] + squares[2]
