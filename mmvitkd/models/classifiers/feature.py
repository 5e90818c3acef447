"""What a tap yields, and what the modules of a tap of several yield together."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .grids import Grid, has_channels_last


class Feature(NamedTuple):
    """What a tap yields in one forward.

    Patch tokens are ``(B, N, C)`` with their grid; ``'all'`` tokens ``(B, L, C)``,
    a class token, the mean of the patch tokens ``(B, C)`` and logits ``(B, K)`` have
    none. Inside a window attention every window counts as one of the batch, ``(B *
    windows, N, C)``, and ``shift`` is how far they are shifted, where the model says
    it. ``is_map`` says that a map of known layout was read, so that its order is known.
    Of several modules, whose tokens lie side by side in ``C``, ``widths`` has each
    one's share.
    """

    value: Tensor
    hw: Grid | None
    shift: Grid | None = None
    is_map: bool = False
    widths: tuple[int, ...] = ()


def join_features(features: Mapping[str, Feature]) -> Feature:
    """Put the tokens of several modules side by side, ``(B, N, C_1 + C_2 + ...)``.

    Args:
        features: By path, in their order; a single one is returned as it is.

    Raises:
        ValueError: If they are not of the same tokens: in number, grid or windows.
    """
    parts = list(features.values())
    if len(parts) == 1:
        return parts[0]
    kinds = [(part.value.shape[:-1], part.hw, part.shift) for part in parts]
    if len(set(kinds)) > 1:
        said = ', '.join(
            f"'{path}' yields {tuple(part.value.shape)}"
            + (f' on a {part.hw[0]}x{part.hw[1]} grid' if part.hw else '')
            for path, part in features.items()
        )
        raise ValueError(
            f'the modules of a tap must yield the same tokens, but {said}: tap '
            'modules of one stage'
        )
    return parts[0]._replace(
        value=torch.cat([part.value for part in parts], dim=-1),
        is_map=all(part.is_map for part in parts),
        widths=tuple(part.value.shape[-1] for part in parts),
    )


def flatten_map(
    model: nn.Module, module: nn.Module, x: Tensor, image: Grid | None
) -> tuple[Tensor, Grid, bool]:
    """Turn a map into tokens: ``(B, C, H, W)``, or timm's ``(B, H, W, C)``.

    Where height, width and channels leave it open, modules say it: ours by
    ``channels_last``.

    Returns:
        The tokens, their grid, and whether the image's proportions tell which it was.
    """
    formats = (str(getattr(m, 'output_fmt', '')) for m in model.modules())
    usual = any(fmt.endswith('NHWC') for fmt in formats)
    usual &= not isinstance(module, nn.Conv2d)
    usual |= getattr(module, 'channels_last', False)
    last, other = (
        has_channels_last(tuple(x.shape), image, one) for one in (usual, not usual)
    )
    if last:
        return x.flatten(1, 2), (x.shape[1], x.shape[2]), last == other
    return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3]), last == other


def window_shift(model: nn.Module, path: str) -> Grid | None:
    """Return how far the windows are shifted that a module inside them works on."""
    while path := path.rpartition('.')[0]:
        # MMPretrain's is one number, timm's a pair
        shift = getattr(model.get_submodule(path), 'shift_size', None)
        if shift is not None:
            return (shift, shift) if isinstance(shift, int) else (shift[0], shift[1])
    return None
