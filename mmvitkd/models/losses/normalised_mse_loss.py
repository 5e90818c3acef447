from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_no_mask, check_same_shape, unit_length


@MODELS.register_module()
class NormalisedMSELoss(nn.Module):
    r"""Squared distance of the directions, as in `Patient Knowledge
    Distillation for BERT Model Compression <https://arxiv.org/abs/1908.09355>`_.

    .. math::
        L_{pt} = \frac{1}{B} \sum_{b=1}^{B} \Big\| \frac{s_b}{\|s_b\|_2}
            - \frac{t_b}{\|t_b\|_2} \Big\|_2^2

    The paper takes class tokens of several layers, here a term each; of patch
    tokens it is the mean over them, too. It is twice one minus their cosine and
    lies between 0 and 4. A vector of zeros stays one, and gets no gradient.

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
        """Compare where the vectors point, whatever their length.

        Args:
            student: ``(B, C_t)`` or ``(B, N, C_t)``, after the neck.
            teacher: The same shape.
            target: Part of every loss's contract, unused by features.
            mask: Must be None: a neck that masks goes with ``ViTKDGenLoss``.

        Raises:
            ValueError: If the shapes differ, or a mask is given.
        """
        check_no_mask(mask, 'NormalisedMSELoss')
        check_same_shape(student, teacher)
        error = unit_length(student.float()) - unit_length(teacher.float())
        return self.loss_weight * error.square().sum(-1).mean()
