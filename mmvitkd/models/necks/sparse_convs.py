"""The conv projector's two convolutions without the products that nobody needs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

KERNEL = 9  # 3x3
CHUNK = 512  # rows of a matrix product: enough to be fast, few to be held


def sparse_conv_relu_conv(
    align: nn.Module,
    convs: nn.Module,
    visible: Tensor,
    token: Tensor,
    mask: Tensor,
    hw: tuple[int, int],
) -> Tensor:
    """Run convolution, ReLU and convolution from visible tokens to masked places.

    Args:
        align: What the visible tokens pass first: a linear layer from width ``C_in`` to
            ``C``, or an identity.
        convs: As :func:`conv_relu_conv` makes them, of width ``C``.
        visible: The tokens that are not masked, ``(V, C_in)``, in the order of
            ``~mask``.
        token: What stands at the masked places, ``(1, C)``.
        mask: Bool ``(B, N)``.
        hw: The grid ``(H, W)``.

    Returns:
        ``(B, N, C)``, zeros where no token is masked.
    """
    layers: list[Any] = list(convs.children())
    first, _, second = layers
    masked = mask.flatten()  # (B * N,)
    near = _neighbours(len(mask), hw, mask.device)  # (B * N, 9)

    weight = first.weight.permute(1, 2, 3, 0).flatten(1)  # (C, 9 * C)
    visible, weight_in, bias = _join(align, weight, visible)
    # what is the same at every masked place, and at every visible one
    constants = (torch.cat([token, bias]) @ weight).view(2 * KERNEL, -1)  # (18, C)
    dtype = constants.dtype  # that of mixed precision, if it is on
    is_near = F.pad(torch.stack([masked, ~masked]), (0, 1))[:, near]  # (2, B * N, 9)
    counts = is_near.transpose(0, 1).flatten(1).to(dtype)  # (B * N, 18)
    hidden = torch.addmm(first.bias.to(dtype), counts, constants)
    # a place is the k-th neighbour of its own (8 - k)-th
    reached = near[~masked].flip(1)  # (V, 9)
    hidden = hidden + _FromRows.apply(
        visible.to(dtype), weight_in.to(dtype), reached, len(near)
    )
    hidden = F.pad(hidden.relu(), (0, 0, 0, 1))  # zeros in the last row, outside

    weight = second.weight.permute(0, 2, 3, 1).flatten(1)  # (C, 9 * C)
    generated = _ToRows.apply(hidden, weight.to(dtype), near[masked])  # (M, C)
    generated = generated + second.bias.to(dtype)
    out = generated.new_zeros(masked.numel(), generated.shape[1])
    out = out.index_copy(0, masked.nonzero().flatten(), generated)
    return out.view(*mask.shape, -1)


def _join(
    align: nn.Module, weight: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Make one product of a linear layer and the convolution after it, if it pays.

    Returns:
        What to convolve ``(V, C_in or C)``, its weight ``(C_in or C, 9 * C)``, and what
        the linear layer would have added to it, ``(1, C)``.
    """
    width = len(weight)
    nothing = weight.new_zeros(1, width)
    if not isinstance(align, nn.Linear):
        return align(visible), weight, nothing
    narrow = align.in_features
    # the products of the joint weight against those that the narrower tokens save
    if len(visible) * (width - narrow) <= width * narrow:
        return align(visible), weight, nothing
    return visible, align.weight.t() @ weight, align.bias[None]


def _neighbours(batch: int, hw: tuple[int, int], device: torch.device) -> Tensor:
    """List the 3x3 neighbourhood of every place of a batch.

    Returns:
        Indices ``(B * N, 9)`` into ``B * N`` places; ``B * N`` itself is outside.
    """
    outside = batch * hw[0] * hw[1]
    places = torch.arange(outside, device=device).view(batch, *hw)
    padded = F.pad(places, (1, 1, 1, 1), value=outside)  # (B, H + 2, W + 2)
    return padded.unfold(1, 3, 1).unfold(2, 3, 1).reshape(outside, KERNEL)


class _ToRows(torch.autograd.Function):
    """Convolve a map ``(B * N + 1, C)``, its last row zeros, at some places only.

    By a weight ``(O, 9 * C)``, at places whose neighbourhoods are ``(M, 9)``, to
    ``(M, O)``. The neighbourhoods' contents, nine times as large as the map, are never
    held as a whole.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, near: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, near)
        return _gather(x, weight, near)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, near = ctx.saved_tensors
        return _scatter(grad, weight, near, len(x)), _outer(grad, x, near), None


class _FromRows(torch.autograd.Function):
    """Convolve a map that is zero but at some places: :class:`_ToRows` transposed.

    Rows ``(V, O)`` by a weight ``(O, 9 * C)``, to the places that they reach,
    ``(V, 9)``, of a map ``(B * N, C)``.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, near: Tensor, places: int
    ) -> Tensor:
        ctx.save_for_backward(rows, weight, near)
        return _scatter(rows, weight, near, places + 1)[:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, near = ctx.saved_tensors
        grad = F.pad(grad, (0, 0, 0, 1))
        return _gather(grad, weight, near), _outer(rows, grad, near), None, None


def _look_up(x: Tensor, near: Tensor) -> Tensor:
    """Return what ``(R, C)`` holds at neighbourhoods ``(M, 9)``, as ``(M, 9 * C)``."""
    # not -1, which nothing tells where no place is left
    return x.index_select(0, near.flatten()).view(len(near), KERNEL * x.shape[1])


def _gather(x: Tensor, weight: Tensor, near: Tensor) -> Tensor:
    parts = [_look_up(x, part) @ weight.t() for part in near.split(CHUNK)]
    return torch.cat(parts)  # (M, O)


def _scatter(rows: Tensor, weight: Tensor, near: Tensor, places: int) -> Tensor:
    out = rows.new_zeros(places, weight.shape[1] // KERNEL)  # (R, C)
    for some, part in zip(rows.split(CHUNK), near.split(CHUNK), strict=True):
        out.index_add_(0, part.flatten(), (some @ weight).view(-1, out.shape[1]))
    return out


def _outer(rows: Tensor, x: Tensor, near: Tensor) -> Tensor:
    out = rows.new_zeros(rows.shape[1], x.shape[1] * KERNEL)  # (O, 9 * C)
    for some, part in zip(rows.split(CHUNK), near.split(CHUNK), strict=True):
        out.addmm_(some.t(), _look_up(x, part))
    return out
