from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import check_same_tokens, unit_length
from .distill_loss import DistillLoss


@MODELS.register_module()
class ProbeLoss(DistillLoss):
    r"""How much every patch is like the class token, from `Attention Probe: Vision
    Transformer Distillation in the Wild <https://github.com/IIGROUP/AttentionProbe>`_.

    .. math::
        L_{probe} = \frac{1}{B N} \sum_{b=1}^{B} \sum_{i=1}^{N}
            (f^s_{b,0} \cdot f^s_{b,i} - f^t_{b,0} \cdot f^t_{b,i})^2

    Every token of :math:`f`, ``(B, 1 + N, C)``, has length 1, the class token is the
    first. It is the first row of the tokens' Gram matrix. Widths cancel, so the term
    needs no neck. The released code normalises every channel over the tokens instead,
    which leaves no cosines. The mean over three blocks is three terms of a third of the
    weight.

    Args:
        loss_weight: Factor of the whole. Defaults to 0.8, as released, of the mean over
            the blocks.
        reduction: As for :class:`DistillLoss`.
    """

    check_shapes = staticmethod(check_same_tokens)
    takes_grid = True

    def __init__(self, loss_weight: float = 0.8, reduction: str | None = None) -> None:
        super().__init__(loss_weight, reduction)

    def equation(
        self, student: Tensor, teacher: Tensor, hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Compare the class token's cosines to the patches.

        Args:
            student: ``(B, 1 + N, C_s)``.
            teacher: ``(B, 1 + N, C_t)``.
            hw: A grid, which only patch tokens have.

        Raises:
            ValueError: If the class token is not among the tokens.
        """
        if hw is not None:
            raise ValueError(
                f'ProbeLoss got the {hw[0]}x{hw[1]} patches alone, and compares them '
                "with the class token: tap dict(path=..., tokens='all') on both sides"
            )
        return (_cosines(student) - _cosines(teacher)).square().mean()


def _cosines(tokens: Tensor) -> Tensor:
    """Compare the first of ``(B, 1 + N, C)`` with each of the others: ``(B, N)``."""
    tokens = unit_length(tokens)
    return (tokens[:, :1] * tokens[:, 1:]).sum(-1)
