"""Measurements of `Distillation Dynamics <https://arxiv.org/abs/2511.06848>`_ over the
layers of a network: entropy and magnitude of its activations, and where they turn."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def activation_entropy(
    layers: Sequence[Tensor],
    bins: int = 100,
    ends: tuple[float, float] | None = None,
) -> Tensor:
    """Return the entropy of the channels' values, a token at a time, as released.

    A token's values are counted in ``bins`` of equal width between the least and the
    largest value of **all** layers; one large value in any of them lowers the entropy
    of all others.

    Args:
        layers: Of every layer the patch tokens ``(B, N, C)``.
        bins: Defaults to 100.
        ends: The least and the largest value, where ``layers`` are a part of what they
            are to be taken from. Defaults to None: those of ``layers``.

    Returns:
        ``(L,)`` in bits, the mean over images and tokens, at most
        ``log2(min(bins, C))``.

    Raises:
        ValueError: If ``bins`` is not above 0, or a value lies outside of ``ends``.
    """
    if bins < 1:
        raise ValueError(f'bins must be above 0, got {bins}')
    low = min(float(x.min()) for x in layers)
    high = max(float(x.max()) for x in layers)
    if ends is not None and not ends[0] <= low <= high <= ends[1]:
        raise ValueError(f'the values go from {low} to {high}, beyond the ends {ends}')
    low, high = ends or (low, high)
    return torch.stack([_entropy(x.flatten(0, -2), low, high, bins) for x in layers])


def _entropy(x: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Return the mean entropy of the rows of ``(M, C)``."""
    place = (x.double() - low) / max(high - low, torch.finfo(torch.float64).tiny)
    index = (place * bins).long().clamp(max=bins - 1)  # the last bin has both ends
    count = torch.zeros(len(x), bins, device=x.device)
    count.scatter_add_(1, index, torch.ones_like(index, dtype=count.dtype))
    nats = torch.special.entr(count / x.shape[1]).sum(1)
    return nats.mean().cpu() / math.log(2)


def activation_magnitude(layers: Sequence[Tensor]) -> Tensor:
    """Return the mean absolute value of every layer, ``(L,)``.

    Args:
        layers: Of every layer the patch tokens ``(B, N, C)``.
    """
    return torch.stack([x.float().abs().mean().cpu() for x in layers])


def turning_layer(
    values: Sequence[float] | Tensor,
    directed: float = 0.8,
    balance: float = 0.25,
    depth: float = 0.05,
) -> int | None:
    """Find the layer at which values over depth turn from falling to rising.

    They make a U if (1) the least one lies inside; (2) the way down to it and up again,
    from the first and to the last value, is at least ``directed`` of all ups and downs
    together, so that noise and a W are none; (3) the shorter arm is at least
    ``balance`` of the longer one, and (4) at least ``depth`` of the largest absolute
    value. For an arch, give the values with the other sign.

    Fewer than five layers give None. Of six independent random numbers one draw in ten
    is called a U, of twelve one in 2,000: a U of a shallow network is weak evidence.

    Args:
        values: One number a layer.
        directed: Defaults to 0.8.
        balance: Defaults to 0.25.
        depth: Defaults to 0.05.

    Returns:
        The index of the layer, or None where there is no U.
    """
    v = torch.as_tensor(values, dtype=torch.float64)
    if len(v) < 5:
        return None
    turn = int(v.argmin())
    fall, rise = float(v[0] - v[turn]), float(v[-1] - v[turn])
    ways = float(v.diff().abs().sum())
    arm = max(balance * max(fall, rise), depth * float(v.abs().max()))
    is_u = ways > 0 and min(fall, rise) >= arm and fall + rise >= directed * ways
    return turn if is_u and 0 < turn < len(v) - 1 else None
