import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_grid, check_same_shape, check_same_tokens
from .distill_loss import DistillLoss


@MODELS.register_module()
class SpectralLoss(DistillLoss):
    r"""Squared distance of the spectra over the grid, from `SpectralKD
    <https://arxiv.org/abs/2412.19055>`_.

    .. math::
        L_{fft} = \frac{1}{2 |\Omega|} \sum_{\omega \in \Omega}
            (\Re \hat F^S_\omega - \Re \hat F^T_\omega)^2
            + (\Im \hat F^S_\omega - \Im \hat F^T_\omega)^2

    :math:`\hat F` is the orthonormal real 2-D FFT over the grid, and :math:`\Omega` its
    ``B * C * H * (W // 2 + 1)`` entries. A wider teacher's channels are averaged to
    the student's number first, neighbours with neighbours (adaptive average pooling),
    so the term needs no neck. A ViT's channels have no order, so who is averaged with
    whom is arbitrary: another order of the teacher's channels is another loss.

    By Parseval's theorem the distance of whole spectra is that of the maps. Half of
    one, as here, differs by counting all columns of frequencies once that have a
    mirror image, so that those without (zero, and ``W / 2`` where ``W`` is even) weigh
    twice as much: a mean squared error with the row means up-weighted.

    Args:
        loss_weight: Factor of the whole; a mean over several pairs of layers is a term
            each, with ``1 / pairs`` of the weight. Defaults to the authors' 0.2.
        reduction: As for :class:`DistillLoss`.
    """

    check_shapes = staticmethod(check_same_tokens)
    takes_grid = True

    def __init__(self, loss_weight: float = 0.2, reduction: str | None = None) -> None:
        super().__init__(loss_weight, reduction)

    def equation(
        self, student: Tensor, teacher: Tensor, hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Compare the maps' frequencies.

        Args:
            student: Patch tokens ``(B, N, C_s)``.
            teacher: ``(B, N, C_t)``; narrower than the student only with a neck.
            hw: The tokens' grid ``(H, W)``.

        Raises:
            ValueError: If it is not their grid, or the teacher is narrower.
        """
        check_grid(hw, student.shape[1])
        if student.shape[-1] < teacher.shape[-1]:
            teacher = F.adaptive_avg_pool1d(teacher, student.shape[-1])  # (B, N, C_s)
        check_same_shape(student, teacher)
        # linear, so that one transform of the difference does for two
        error = (student - teacher).unflatten(1, hw)  # (B, H, W, C)
        spectrum = torch.fft.rfft2(error, dim=(1, 2), norm='ortho')
        return torch.view_as_real(spectrum).square().mean()
