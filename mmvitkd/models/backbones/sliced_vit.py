from collections.abc import Sequence
from typing import Any

from mmpretrain.models import VisionTransformer

from mmvitkd.registry import MODELS

from .sliced_attention import SlicedAttention


@MODELS.register_module()
class SlicedViT(VisionTransformer):
    """A ViT whose layers have lost heads, or dimensions of the values in heads.

    What the export makes of a student whose widths were pruned by
    :class:`~mmvitkd.engine.BlockSkippingHook`. Widths of the MLPs are ``layer_cfgs``'
    ``feedforward_channels``, as MMPretrain has them.

    Args:
        *args: As for ``VisionTransformer``.
        value_dims: For every layer, of every head that it has, how many dimensions its
            values have.
        **kwargs: As for ``VisionTransformer``. ``arch`` has the heads that there were,
            which tell the dimensions of queries and keys.

    Raises:
        ValueError: If the layers, heads or dimensions are not as many as there may be.
    """

    def __init__(
        self, *args: Any, value_dims: Sequence[Sequence[int]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if len(value_dims) != self.num_layers:
            raise ValueError(
                f'value_dims has {len(value_dims)} layers, the arch {self.num_layers}'
            )
        for number, (layer, dims) in enumerate(
            zip(self.layers, value_dims, strict=True)
        ):
            heads, most = layer.attn.num_heads, layer.attn.head_dims
            if not 1 <= len(dims) <= heads or not all(1 <= d <= most for d in dims):
                raise ValueError(
                    f'value_dims of layer {number} must be 1 to {heads} numbers from 1 '
                    f'to {most}, got {list(dims)}'
                )
            # upstream's constructor names this class
            layer.attn.__class__ = SlicedAttention
            layer.attn.set_up(list(dims))
        if self.frozen_stages > 0:
            self._freeze_stages()  # again: with what is new in these layers
