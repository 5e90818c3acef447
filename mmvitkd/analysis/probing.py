"""What frozen features are worth: nearest neighbours, and a linear classifier."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 256  # queries at once: their similarities to the whole bank are held
ITERATIONS = 200  # of L-BFGS, for one strength


def knn_votes(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    classes: int,
    k: Sequence[int],
    temperature: float = 0.07,
) -> list[Tensor]:
    r"""Let the nearest neighbours vote, as in `DINO <https://arxiv.org/abs/2104.14294>`_.

    A neighbour of cosine similarity :math:`s` counts :math:`\exp(s / T)`.

    Args:
        queries: Features ``(M, C)``.
        bank: Features of known classes ``(N, C)``.
        labels: Their classes ``(N,)``.
        classes: How many there are.
        k: Numbers of neighbours, each at most ``N``.
        temperature: :math:`T`. Defaults to 0.07.

    Returns:
        Of every ``k``, votes ``(M, classes)``.

    Raises:
        ValueError: If a ``k`` is below 1, or more than there are neighbours.
    """
    for number in k:
        if not 1 <= number <= len(bank):
            raise ValueError(
                f'k={number}: there are {len(bank)} labelled images, so at least 1 and '
                f'at most {len(bank)}'
            )
    bank = F.normalize(bank, dim=1)
    found: list[list[Tensor]] = [[] for _ in k]
    for part in F.normalize(queries, dim=1).split(CHUNK):
        similar, place = (part @ bank.T).topk(max(k), dim=1)  # (m, k), nearest first
        weights = (similar / temperature).exp()
        named = labels[place]
        for number, votes in zip(k, found, strict=True):
            total = weights.new_zeros(len(part), classes)
            votes.append(total.scatter_add_(1, named[:, :number], weights[:, :number]))
    return [torch.cat(votes) for votes in found]


class LinearProbe(NamedTuple):
    """A linear classifier of standardised features.

    Args:
        mean: Of every channel in training, ``(C,)``.
        std: Likewise.
        weight: ``(K, C)``.
        bias: ``(K,)``.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return logits ``(N, K)`` of features ``(N, C)``."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias


def alone(value: Tensor) -> Tensor:
    """Sum over one process."""
    return value


def fit_linear(
    features: Tensor,
    labels: Tensor,
    classes: int,
    strength: float = 1.0,
    start: LinearProbe | None = None,
    total: Callable[[Tensor], Tensor] = alone,
) -> LinearProbe:
    r"""Fit a multinomial logistic regression by L-BFGS.

    Minimises :math:`C \sum_i CE(z_i, y_i) + \frac{1}{2} \|W\|^2`, scikit-learn's
    objective, over features of mean 0 and variance 1; the bias is free.

    Args:
        features: ``(N, C)``.
        labels: ``(N,)``.
        classes: :math:`K`.
        strength: :math:`C`, by which the labels outweigh the penalty. Defaults to 1.0.
        start: A solution to begin with. Defaults to None: zeros.
        total: Sums a tensor over the processes, each of which gives its own samples.
            Defaults to one process.
    """
    n = total(torch.tensor(float(len(features)), device=features.device))
    mean = total(features.sum(0)) / n
    variance = total((features - mean).square().sum(0)) / n
    # a channel without variance says nothing, and stays zero
    std = variance.sqrt().where(variance > 1e-12, torch.ones_like(variance))
    x = (features - mean) / std
    if start is None:
        weight, bias = x.new_zeros(classes, x.shape[1]), x.new_zeros(classes)
    else:
        weight, bias = start.weight.clone(), start.bias.clone()
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    solver = torch.optim.LBFGS(
        parameters,
        max_iter=ITERATIONS,
        history_size=10,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn='strong_wolfe',
    )

    def closure() -> Tensor:
        with torch.enable_grad():
            errors = F.cross_entropy(x @ weight.T + bias, labels, reduction='sum') / n
            gradients = torch.autograd.grad(errors, parameters)
        penalty = 1 / (strength * n)
        weight.grad = total(gradients[0]) + penalty * weight.detach()
        bias.grad = total(gradients[1])
        return total(errors.detach()) + penalty * weight.detach().square().sum() / 2

    solver.step(closure)
    return LinearProbe(mean, std, weight.detach(), bias.detach())
