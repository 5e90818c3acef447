"""The terms by which images are made of a teacher, as pure functions.

DeepInversion and its adaptive variant (arXiv:1912.08795), and DearKD's data-free
extension (arXiv:2204.12997).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def total_variation(x: Tensor) -> Tensor:
    """How rough images ``(B, C, H, W)`` are: the L2 norm of neighbours' differences.

    Those of rows and of columns are summed, the images averaged.
    """
    down, right = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    return mean_norm(down) + mean_norm(right)


def mean_norm(x: Tensor) -> Tensor:
    """Return the L2 norm of each of ``(B, ...)``, averaged."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).mean()


def statistics_distance(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """How far a batch is from what a BatchNorm has stored: ||mu - m|| + ||s2 - v||.

    Args:
        x: Its input, ``(B, C, ...)``.
        mean: Stored, ``(C,)``.
        var: Stored, ``(C,)``.
    """
    dims = [d for d in range(x.ndim) if d != 1]
    var_x, mean_x = torch.var_mean(x, dims, correction=0)
    return torch.linalg.vector_norm(mean_x - mean) + torch.linalg.vector_norm(
        var_x - var
    )


def intra_divergence(features: Tensor, labels: Tensor, easy: Tensor) -> Tensor:
    """How alike images of the same class are: the mean cosine of all pairs.

    Images near the boundary of their class take no part, so none is pushed over it.
    The formula is not public; this one is ours.

    Args:
        features: ``(B, C)``, before the classifier.
        labels: ``(B,)``.
        easy: Which take part, a bool ``(B,)``.

    Returns:
        A scalar from -1 to 1; 0 where there is no pair.
    """
    pairs = (labels[:, None] == labels) & easy[:, None] & easy
    pairs = pairs & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    unit = F.normalize(features, dim=1)
    cosine = unit @ unit.T  # (B, B)
    return torch.where(pairs, cosine, 0.0).sum() / pairs.sum().clamp(min=1)


def agreement(student: Tensor, teacher: Tensor, temperature: float = 3.0) -> Tensor:
    """How far student and teacher agree: 1 - JS, averaged over the batch.

    Args:
        student: Logits ``(B, K)``.
        teacher: Logits ``(B, K)``.
        temperature: Of both. Defaults to 3.0.

    Returns:
        A scalar from 1 - ln 2 to 1, at which they say the same.
    """
    log_p, log_q = (F.log_softmax(z / temperature, 1) for z in (student, teacher))
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2.0))
    divergences = [
        F.kl_div(log_m, one, reduction='batchmean', log_target=True)
        for one in (log_p, log_q)
    ]
    return 1 - (divergences[0] + divergences[1]) / 2
