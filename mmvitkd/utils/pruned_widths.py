"""A student without the heads, dimensions and units that its training has pruned."""

from typing import Any, NamedTuple

import torch
from mmengine.config import ConfigDict
from torch import Tensor

from .skipped_blocks import SKIPPING, holder_of

SLICED = 'mmvitkd.SlicedViT'


class Widths(NamedTuple):
    """What every block keeps: dimensions in heads ``(L, H, D)``, units ``(L, U)``."""

    dims: Tensor
    units: Tensor

    def of(self, blocks: list[int]) -> 'Widths':
        """Return those of some blocks."""
        return Widths(self.dims[blocks], self.units[blocks])

    def value_dims(self) -> list[list[int]]:
        """Return how many dimensions the values of every head have that is kept."""
        return [[dims for dims in heads if dims] for heads in self.dims.sum(2).tolist()]

    def hidden_units(self) -> list[int]:
        """Return how many hidden units every MLP has."""
        return self.units.sum(1).tolist()


def kept_widths(checkpoint: dict[str, Any]) -> Widths | None:
    """Tell how wide the blocks of a checkpoint's student are, if any were pruned."""
    state = checkpoint.get(SKIPPING, {}).get('widths')
    return None if state is None else Widths(state['kept_dims'], state['kept_units'])


def slice_blocks(
    weights: dict[str, Tensor], blocks: str, widths: Widths
) -> dict[str, Tensor]:
    """Leave out the rows and columns of what the blocks have lost."""
    sliced = dict(weights)
    for number, (dims, units) in enumerate(zip(*widths, strict=True)):
        values = dims.flatten()  # (H * D,)
        queries = dims.any(1).repeat_interleave(dims.shape[1])
        rows = {
            'attn.qkv': torch.cat([queries, queries, values]),
            'ffn.layers.0.0': units,
        }
        columns = {'attn.proj': values, 'ffn.layers.1': units}
        block = f'{blocks}.{number}'
        for layer, kept in rows.items():
            for name in (f'{block}.{layer}.weight', f'{block}.{layer}.bias'):
                if name in sliced:  # else it has no bias
                    sliced[name] = sliced[name][kept]
        for layer, kept in columns.items():
            name = f'{block}.{layer}.weight'
            sliced[name] = sliced[name][:, kept]
    return sliced


def make_narrower(model: ConfigDict, blocks: str, widths: Widths) -> None:
    """Write a classifier's config for blocks of these widths, in place."""
    part = holder_of(model, blocks)
    if not widths.units.all():
        given = part.get('layer_cfgs') or {}
        if isinstance(given, dict):
            given = [given] * len(widths.units)
        part.layer_cfgs = [
            {**cfg, 'feedforward_channels': units}
            for cfg, units in zip(given, widths.hidden_units(), strict=True)
        ]
    if not widths.dims.all():
        part.type = SLICED
        part.value_dims = widths.value_dims()
