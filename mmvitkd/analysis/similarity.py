"""How far two models' layers are from each other."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def attention_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence of a student's attention from a teacher's.

    .. math::
        KL(A^T \| A^S) = \sum_j A^T_{ij} \log(A^T_{ij} / A^S_{ij})

    The heads of a side are averaged first: the two may have different numbers of them,
    and heads have no common order.

    Args:
        student: ``(B, h_s, N, N)`` attention maps.
        teacher: ``(B, h_t, N, N)``.

    Returns:
        The mean over images and queries in nats, zero when equal.

    Raises:
        ValueError: If the numbers of images or tokens differ.
    """
    if student.shape[0] != teacher.shape[0] or student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            f'attention maps {tuple(student.shape)} and {tuple(teacher.shape)} are not '
            'over the same images and tokens'
        )
    theirs, ours = teacher.mean(dim=1), student.mean(dim=1)  # (B, N, N)
    ours = ours.clamp(min=torch.finfo(ours.dtype).tiny).log()  # what softmax left at 0
    return F.kl_div(ours, theirs, reduction='sum') / (len(ours) * ours.shape[1])


def relations(x: Tensor) -> Tensor:
    r"""Equation 7 of `ViTKD <https://arxiv.org/abs/2209.02432>`_,
    :math:`F F^\top / \sqrt{D}`, from ``(B, N, C)`` to ``(B, N, N)``.
    """
    return x @ x.transpose(1, 2) / x.shape[-1] ** 0.5


def relation_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square difference of the relations: what ``CorrelationLoss`` reduces.

    A rotation of the channels does not change it; their scale does, by its fourth
    power.

    Args:
        student: ``(B, N, C_s)`` tokens.
        teacher: ``(B, N, C_t)``.

    Returns:
        The mean over images and pairs of tokens.

    Raises:
        ValueError: If the numbers of images or tokens differ.
    """
    _check_same_tokens(student, teacher)
    return (relations(student) - relations(teacher)).square().mean()


def relation_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between the relations, which their scale does not change.

    Args:
        student: ``(B, N, C_s)`` tokens.
        teacher: ``(B, N, C_t)``.

    Returns:
        The mean over images, from 0 (the same up to rotation and scale) to 1.

    Raises:
        ValueError: If the numbers of images or tokens differ.
    """
    _check_same_tokens(student, teacher)
    ours, theirs = relations(student).flatten(1), relations(teacher).flatten(1)
    return 1 - F.cosine_similarity(ours, theirs, dim=1).mean()


def unbiased_hsic(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741 the paper's names
    r"""Unbiased estimate of the Hilbert-Schmidt independence criterion, equation 3 of
    `Nguyen et al. <https://arxiv.org/abs/2010.15327>`_, after Song et al. 2012.

    .. math::
        \frac{1}{n(n-3)} \Big( tr(\tilde K \tilde L)
            + \frac{1^\top \tilde K 1 \; 1^\top \tilde L 1}{(n-1)(n-2)}
            - \frac{2}{n-2} 1^\top \tilde K \tilde L 1 \Big)

    A tilde is for a zero diagonal.

    Args:
        k: ``(p, n, n)``, symmetric kernels.
        l: ``(q, n, n)``.

    Returns:
        ``(p, q)``, every kernel with every other.

    Raises:
        ValueError: If there are fewer than four examples.
    """
    n = k.shape[-1]
    if n < 4:
        raise ValueError(f'unbiased HSIC needs at least 4 examples a batch, got {n}')
    off_diagonal = 1 - torch.eye(n, dtype=k.dtype, device=k.device)
    k, l = k * off_diagonal, l * off_diagonal  # noqa: E741
    trace = torch.einsum('pij,qij->pq', k, l)
    rows_k, rows_l = k.sum(-1), l.sum(-1)  # (p, n), (q, n)
    totals = torch.outer(rows_k.sum(-1), rows_l.sum(-1)) / ((n - 1) * (n - 2))
    return (trace + totals - 2 / (n - 2) * rows_k @ rows_l.T) / (n * (n - 3))


class LinearCKA:
    """Linear centred kernel alignment over minibatches, every layer with every other.

    `Nguyen et al. <https://arxiv.org/abs/2010.15327>`_: the unbiased HSIC of every
    minibatch is averaged before the ratio is taken, so that the expected value does not
    depend on the batch size. One is for the same up to rotation and scale.
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] | None = None

    def update(self, x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
        """Take a minibatch.

        Args:
            x: A tensor ``(B, ...)`` a layer of one model, flattened to ``(B, D)``.
            y: Likewise of the other.

        Raises:
            ValueError: If there are fewer than four images, or not the same everywhere.
        """
        counts = {len(layer) for layer in (*x, *y)}
        if len(counts) != 1:
            raise ValueError(f'layers of one minibatch hold {sorted(counts)} images')
        k, l = _kernels(x), _kernels(y)  # noqa: E741
        hsic = [
            unbiased_hsic(k, l),
            unbiased_hsic(k, k).diagonal(),
            unbiased_hsic(l, l).diagonal(),
        ]
        if self._sums is not None:
            hsic = [old + new for old, new in zip(self._sums, hsic, strict=True)]
        self._sums = hsic

    def compute(self) -> Tensor:
        """Return ``(layers of x, layers of y)``; NaN where a layer is constant.

        Raises:
            ValueError: If there was no minibatch.
        """
        if self._sums is None:
            raise ValueError('CKA of no minibatch: call update first')
        across, own_x, own_y = self._sums
        return across / torch.outer(own_x, own_y).sqrt()


def _kernels(layers: Sequence[Tensor]) -> Tensor:
    """Linear kernels ``(layers, B, B)``; a common offset would cost digits."""
    flat = [layer.flatten(1).double() for layer in layers]
    flat = [x - x.mean(dim=0) for x in flat]
    return torch.stack([x @ x.T for x in flat])


def _check_same_tokens(student: Tensor, teacher: Tensor) -> None:
    if student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            f'tokens {tuple(student.shape)} and {tuple(teacher.shape)} are not of the '
            'same images and grid'
        )
