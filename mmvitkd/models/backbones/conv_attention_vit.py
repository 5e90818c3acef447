from typing import Any

from mmvitkd.registry import MODELS

from .conv_attention import ConvAttention
from .extra_token_vit import ExtraTokenViT
from .grid_vit import GridLayer, GridViT


@MODELS.register_module()
class ConvAttentionViT(GridViT, ExtraTokenViT):
    """A ViT with a distillation token, whose first layers can act as convolutions.

    The student of `DearKD: Data-Efficient Early Knowledge Distillation for Vision
    Transformers <https://arxiv.org/abs/2204.12997>`_, whose code is not public: how
    its attention combines content and place, in how many layers, and how it begins
    are choices made here, see :class:`ConvAttention`.

    Args:
        *args: As for ``VisionTransformer``.
        conv_layers: How many of the first layers have it. Defaults to 4.
        position_drop: Part of the attention by place that is dropped in training, so
            that a layer does not become all local. Defaults to 0.1.
        **kwargs: As for ``VisionTransformer``.

    Raises:
        ValueError: If there are not as many layers, or ``position_drop`` is no part.
    """

    def __init__(
        self,
        *args: Any,
        conv_layers: int = 4,
        position_drop: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, extra_tokens=1, **kwargs)
        if not 0 <= conv_layers <= self.num_layers:
            raise ValueError(
                f'conv_layers must be from 0 to the {self.num_layers} layers, got '
                f'{conv_layers}'
            )
        if not 0 <= position_drop < 1:
            raise ValueError(f'position_drop must be in [0, 1), got {position_drop}')
        self.grid_layers = conv_layers
        for layer in self.layers[:conv_layers]:
            # upstream's constructor names these classes: only forward differs
            layer.__class__ = GridLayer
            layer.attn.__class__ = ConvAttention
            layer.attn.set_up(position_drop)
