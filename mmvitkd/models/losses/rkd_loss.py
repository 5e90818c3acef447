import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_weight, gram, unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class RKDLoss(DistillLoss):
    r"""Distances and angles among the images of a batch, as in `Relational
    Knowledge Distillation <https://arxiv.org/abs/1904.05068>`_.

    .. math::
        L_{rkd} = \frac{\lambda_D}{B^2} \sum_{i,j}
            l_\delta\big(\psi_D(s_i, s_j), \psi_D(t_i, t_j)\big)
            + \frac{\lambda_A}{B^3} \sum_{i,j,k}
            l_\delta\big(\psi_A(s_i, s_j, s_k), \psi_A(t_i, t_j, t_k)\big)

    .. math::
        \psi_D(x_i, x_j) = \frac{\|x_i - x_j\|_2}{\mu}, \quad
        \psi_A(x_i, x_j, x_k) = \cos \angle x_i x_j x_k

    :math:`l_\delta` is Huber's loss, quadratic up to 1, and :math:`\mu` the mean
    distance on the side. These are the paper's; it sums over tuples, the released code
    takes the mean, here too, and :math:`\mu` over what is above 0. Moving, rotating or
    scaling a side changes nothing and widths may differ, so the term needs no neck.

    The relations are only those of the images of this process; two have no angle.
    Memory grows with :math:`B^2 (B + C)`.

    Args:
        distance: :math:`\lambda_D`. Defaults to 25.0, as released for classification.
        angle: :math:`\lambda_A`. Defaults to 50.0, as released for classification.
        loss_weight: Factor of the whole. Defaults to 1.0.
    """

    of_images = False

    def __init__(
        self, distance: float = 25.0, angle: float = 50.0, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        self.distance = check_weight('distance', distance)
        self.angle = check_weight('angle', angle)

    @staticmethod
    def check_shapes(student: Tensor, teacher: Tensor) -> None:
        """Take a vector an image, or tokens, of which the mean is taken."""
        if {student.ndim, teacher.ndim} - {2, 3} or len(student) != len(teacher):
            raise ValueError(
                'RKDLoss relates images, each a vector: it takes (B, C) or (B, N, C) '
                f'from both sides, of any width, got {tuple(student.shape)} from the '
                f'student and {tuple(teacher.shape)} from the teacher'
            )

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare how the images lie to each other."""
        s, t = _differences(student), _differences(teacher)
        distance = F.smooth_l1_loss(_distances(s), _distances(t))  # (B, B)
        angle = F.smooth_l1_loss(gram(unit_length(s)), gram(unit_length(t)))
        return self.distance * distance + self.angle * angle


def _differences(x: Tensor) -> Tensor:
    """All pairs' differences, ``(B, C)`` or ``(B, N, C)`` to ``(B, B, C)``."""
    if x.ndim == 3:
        x = x.mean(1)
    return x[:, None] - x


def _distances(differences: Tensor) -> Tensor:
    """Distances over their mean, ``(B, B, C)`` to ``(B, B)``; all zero stay so."""
    distances = differences.norm(dim=-1)
    mean = distances.sum() / (distances > 0).sum().clamp(min=1)
    return distances / mean.masked_fill(mean == 0, 1)
