from collections.abc import Sequence
from itertools import combinations_with_replacement, product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmvitkd.registry import MODELS

from ..utils import check_choice, check_count, check_same_tokens
from .distill_loss import DistillLoss

PARTS = 'qkv'  # queries, keys, values
EVERY = tuple(a + b for a, b in product(PARTS, PARTS))
# listed here, since dynamo can't trace the iterator
PAIRS = tuple(combinations_with_replacement(range(len(PARTS)), 2))


@MODELS.register_module()
class QKVRelationLoss(DistillLoss):
    r"""Relations among queries, keys and values, from `MiniViT: Compressing Vision
    Transformers with Weight Multiplexing <https://arxiv.org/abs/2204.07154>`_.

    .. math::
        L_{attn} = \frac{1}{9} \sum_{i,j \in \{Q,K,V\}}
            KL(R^t_{ij} \| R^s_{ij}), \quad
        R_{ij} = softmax\Big(\frac{X_i X_j^\top}{\sqrt{C / A_r}}\Big)

    The mean over the rows of :math:`R`, images and relation heads. `TinyMIM
    <https://arxiv.org/abs/2301.01296>`_ has two of the nine relations, of the teacher's
    own heads: ``relations=('qk', 'vv')``, with ``loss_weight=2`` for their sum.

    The taps are both sides' ``attn.qkv`` (of Swin, ``attn.w_msa.qkv``) with
    ``tokens='all'``. Widths and the models' own numbers of heads may differ, so the
    term needs no neck; of Swin, the windows must hold the same tokens.

    Paper and released code have the cross entropy, which is larger by the teacher's
    entropy: the gradients are the same, but the divergence is zero for equal relations,
    so that is what the log shows. Their mean over the layers is left to the weights of
    the terms.

    Args:
        relation_heads: :math:`A_r`, how many parts the whole width is cut into, on
            either side. Defaults to 1, as released.
        relations: Which of the nine; :math:`1 / 9` is one over their number. Defaults
            to all of them.
        loss_weight: Factor of the whole. Defaults to 1.0, as released.
        reduction: As for :class:`DistillLoss`.
    """

    check_shapes = staticmethod(check_same_tokens)

    def __init__(
        self,
        relation_heads: int = 1,
        loss_weight: float = 1.0,
        relations: Sequence[str] = EVERY,
        reduction: str | None = None,
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.relation_heads = check_count('relation_heads', relation_heads)
        self.relations = [check_choice('relations', one, EVERY) for one in relations]
        if not 0 < len(set(self.relations)) == len(self.relations):
            raise ValueError(
                f'relations must be different ones, at least one, got {relations!r}'
            )

    def equation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare the nine relations of ``(B, N, 3 * C)``; ``B`` counts windows.

        Raises:
            ValueError: If a width can't be cut into the relation heads.
        """
        sides = self._split(student), self._split(teacher)
        return _MeanDivergence.apply(*sides, self.relations)

    def of_each(self, student: Tensor, teacher: Tensor, **extra: Any) -> Tensor:
        """Compare image by image: the gradient is none that vmap knows."""
        sides = zip(student.split(1), teacher.split(1), strict=True)
        return torch.stack([self.equation(s, t) for s, t in sides])

    def _split(self, qkv: Tensor) -> Tensor:
        """Cut ``(B, N, 3 * C)`` into ``(3, B, A_r, N, C / A_r)``."""
        width, parts = qkv.shape[-1], len(PARTS) * self.relation_heads
        if width % parts:
            raise ValueError(
                f'QKVRelationLoss cuts queries, keys and values (B, N, 3 * C) into '
                f'relation_heads={self.relation_heads} each, but the width {width} is '
                f"no multiple of {parts}: tap dict(path='....attn.qkv', tokens='all')"
            )
        x = qkv.unflatten(-1, (len(PARTS), self.relation_heads, width // parts))
        return x.permute(2, 0, 3, 1, 4)


class _MeanDivergence(torch.autograd.Function):
    """The mean divergence of some relations of ``(3, B, A_r, N, d)``.

    The gradient is summed up beside the value, one relation after the other, so that
    none of their ``(B, A_r, N, N)`` has to wait for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, s: Tensor, t: Tensor, relations: Sequence[str]) -> Tensor:
        loss, gradient = s.new_zeros(()), torch.zeros_like(s)
        for i, j in PAIRS:
            # R_ji is the softmax of the same products over the other dimension
            dims = {PARTS[j] + PARTS[i]: -2, PARTS[i] + PARTS[j]: -1}
            wanted = [dim for name, dim in dims.items() if name in relations]
            if not wanted:
                continue
            z_s, z_t = _products(s[i], s[j]), _products(t[i], t[j])  # (B, A_r, N, N)
            error = torch.zeros_like(z_s)
            for dim in wanted:
                log_s, log_t = z_s.log_softmax(dim), z_t.log_softmax(dim)
                r_s, r_t = log_s.exp(), log_t.exp()
                loss += (r_t * (log_t - log_s)).sum()
                error += r_s - r_t
            gradient[i] += error @ s[j]
            gradient[j] += error.transpose(-2, -1) @ s[i]
        rows = len(relations) * s[0, ..., 0].numel()
        ctx.save_for_backward(gradient / (rows * s.shape[-1] ** 0.5))
        return loss / rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        return outer[0] * ctx.saved_tensors[0], None, None


def _products(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.transpose(-2, -1) / x.shape[-1] ** 0.5
