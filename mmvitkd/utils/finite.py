"""Whether weights are numbers at all."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .quantisers import is_quantiser


def nonfinite_weights(weights: Mapping[str, Any]) -> list[str]:
    """Name the weights and running statistics that hold NaN or infinity.

    Integers hold neither, and a mask of attention, of zeros and minus infinity, is
    meant to be so. The range of a quantised layer that is never run is empty, from
    infinity to minus infinity.
    """
    tensors = {
        name: value.detach()
        for name, value in weights.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and value.numel()
        and not is_quantiser(name)
    }
    if not tensors:
        return []
    flags = [value.isfinite().all() for value in tensors.values()]
    # read once, for every reading waits for the GPU
    fine = torch.stack([flag.to(flags[0].device) for flag in flags]).tolist()
    return [
        name
        for (name, value), good in zip(tensors.items(), fine, strict=True)
        if not good and not _is_mask(value)
    ]


def _is_mask(value: Tensor) -> bool:
    open_ = value == 0
    return value.ndim > 1 and bool(open_.any() and (open_ | value.isneginf()).all())


def require_finite(weights: Mapping[str, Any], what: str) -> None:
    """Refuse weights that are not all finite.

    Args:
        weights: By name, as in a checkpoint.
        what: Names the checkpoint to the user.

    Raises:
        ValueError: If so; it tells how many, and the first.
    """
    bad = nonfinite_weights(weights)
    if bad:
        raise ValueError(
            f'{what} has weights that are NaN or infinite, {first_of(bad, weights)}: '
            'training diverged before it was written. Take an earlier one'
        )


def first_of(bad: list[str], weights: Mapping[str, Any]) -> str:
    """Tell how many of the weights are bad, and the first."""
    names = ', '.join(bad[:3])
    return f'{len(bad)} of {len(weights)}: {names}{", ..." if len(bad) > 3 else ""}'
