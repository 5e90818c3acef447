import torch
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import (
    check_count,
    check_same_tokens,
    check_weight,
    gather_batch,
    gram,
    merge_patches,
    unit_length,
)
from .distill_loss import DistillLoss


@MODELS.register_module()
class ManifoldLoss(DistillLoss):
    r"""Relations among the tokens of a batch, from `Learning Efficient Vision
    Transformers via Fine-Grained Manifold Distillation
    <https://arxiv.org/abs/2107.01378>`_.

    .. math::
        L_{mf} = \frac{a}{B} \sum_{b=1}^{B} d(F_{b,:}) + \frac{b}{N} \sum_{i=1}^{N}
            d(F_{:,i}) + c \, d(F_R), \quad
        d(X) = \| X^S {X^S}^\top - X^T {X^T}^\top \|_F^2

    Every token of :math:`F`, ``(B, N, C)``, has length 1. The three parts relate the
    tokens of one image (intra), those of one place in all images (inter), and a
    random set :math:`R` of ``num_samples`` tokens, the same on both sides. Widths
    cancel, so the term needs no neck. The released code divides :math:`d` by the
    number of entries, to which its weights, the defaults, belong; it leaves in the
    extra tokens that both sides have.

    As released, the inter and the random part see only the images of this process and
    depend on their number: an image's relation to itself is always equal. ``gather``
    joins those of all processes, of which each has as many images.

    Args:
        intra, inter, random: :math:`a, b, c`. Default to 4.0, 0.1, 0.2, as released.
        num_samples: Size of :math:`R`, or all tokens. Defaults to 192, as released.
        loss_weight: Factor of the whole. Defaults to 1.0.
        reduction: ``'mean'`` over the entries of a matrix, or ``'frobenius'``, their
            sum, as above and in the paper. Defaults to ``'mean'``.
        gather: Relate the images of all processes. Defaults to False, as released.
        merge: Side of squares of patches whose channels make one token. Of Swin's
            56x56 patches, too many to relate, 4 makes 14x14. Defaults to 1.
    """

    of_images = False
    check_shapes = staticmethod(check_same_tokens)
    reductions = ('mean', 'frobenius')
    takes_grid = True

    def __init__(
        self,
        intra: float = 4.0,
        inter: float = 0.1,
        random: float = 0.2,
        num_samples: int = 192,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        gather: bool = False,
        merge: int = 1,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.intra = check_weight('intra', intra)
        self.inter = check_weight('inter', inter)
        self.random = check_weight('random', random)
        self.num_samples = check_count('num_samples', num_samples)
        self.gather = gather
        self.merge = check_count('merge', merge)

    def equation(
        self, student: Tensor, teacher: Tensor, hw: tuple[int, int] | None = None
    ) -> Tensor:
        """Compare the Gram matrices within images, across them, and at random.

        Args:
            student: ``(B, N, C_s)``.
            teacher: ``(B, N, C_t)``.
            hw: The grid of the tokens, to merge them by.
        """
        s, t = student, teacher
        if self.merge > 1:
            s, t = (merge_patches(x, hw, self.merge) for x in (s, t))
        s, t = unit_length(s), unit_length(t)
        intra = self._distance(s, t)
        if self.gather:
            s, t = gather_batch(s), gather_batch(t)
        inter = self._distance(s.transpose(0, 1), t.transpose(0, 1))  # (N, B, C)
        s, t = s.flatten(0, 1), t.flatten(0, 1)  # (B * N, C)
        rows = torch.randperm(len(s), device=s.device)[: self.num_samples]
        random = self._distance(s[rows], t[rows])
        return self.intra * intra + self.inter * inter + self.random * random

    def _distance(self, s: Tensor, t: Tensor) -> Tensor:
        """Compare Gram matrices of ``(..., rows, C)``, the mean over the first."""
        error = (gram(s) - gram(t)).square()
        return error.mean() if self.reduction == 'mean' else error.sum((-2, -1)).mean()
