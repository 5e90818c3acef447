from typing import Any

import torch
from mmengine.model import PretrainedInit
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import build_norm_layer
from torch import Tensor, nn

from mmvitkd.registry import MODELS, WEIGHT_INITIALIZERS
from mmvitkd.utils.types import is_kind

from ..utils import check_count

NORM = {'type': 'LN', 'eps': 1e-6}


class WideLayer(TransformerEncoderLayer):
    """MMPretrain's layer behind a projection to its own width.

    Args:
        in_dims: Width of the tokens that come in.
        embed_dims: The layer's own.
        **kwargs: As for ``TransformerEncoderLayer``.
    """

    def __init__(self, in_dims: int, embed_dims: int, **kwargs: Any) -> None:
        super().__init__(embed_dims, **kwargs)
        self.proj_in = nn.Sequential(
            nn.Linear(in_dims, embed_dims, bias=False),
            build_norm_layer(kwargs['norm_cfg'], embed_dims),
        )

    def init_weights(self) -> None:
        """Draw the projection as released."""
        super().init_weights()
        trunc_normal_(self.proj_in[0].weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, L, in_dims)`` to ``(B, L, embed_dims)``; no shortcut goes round."""
        return super().forward(self.proj_in(x))


@MODELS.register_module()
class WideLastViT(VisionTransformer):
    """MMPretrain's ViT with a last layer as wide as the teacher: WideLast, from `From
    Per-Image Low-Rank to Encoding Mismatch <https://arxiv.org/abs/2511.15572>`_.

    A linear layer without bias and a norm lead to the wide layer, whose MLP is wider
    in proportion, as are the final norm and what the backbone yields. So
    ``layers.<last>`` can be compared with the teacher without a neck.

    Args:
        arch: As for ``VisionTransformer``: what the other layers are. Defaults to
            ``'deit-tiny'``.
        last_dims: Width of the last layer. Defaults to 384, CaiT-S24's.
        last_heads: Of its attention. Defaults to 6.
        **kwargs: As for ``VisionTransformer``; ``out_indices`` may name only the last.

    Raises:
        ValueError: If the width is no multiple of the heads, or another layer's
            output is asked for.
    """

    def __init__(
        self,
        arch: str | dict[str, int] = 'deit-tiny',
        *,
        last_dims: int = 384,
        last_heads: int = 6,
        **kwargs: Any,
    ) -> None:
        super().__init__(arch, **kwargs)
        width, heads = (
            check_count('last_dims', last_dims),
            check_count('last_heads', last_heads),
        )
        if width % heads:
            raise ValueError(
                f'last_dims must be a multiple of last_heads, got {width} and {heads}'
            )
        if self.out_indices != [self.num_layers - 1]:
            raise ValueError(
                'the layers of a WideLastViT differ in width, so it yields only the '
                f'last: leave out_indices={kwargs["out_indices"]} out'
            )
        norm = kwargs.get('norm_cfg', NORM)
        ratio = self.arch_settings['feedforward_channels'] / self.embed_dims
        layer_cfgs = kwargs.get('layer_cfgs', {})
        own = layer_cfgs if isinstance(layer_cfgs, dict) else layer_cfgs[-1]
        self.layers[-1] = WideLayer(
            self.embed_dims,
            width,
            **{
                'num_heads': heads,
                'feedforward_channels': round(ratio * width),
                'layer_scale_init_value': kwargs.get('layer_scale_init_value', 0.0),
                'drop_rate': kwargs.get('drop_rate', 0.0),
                'drop_path_rate': kwargs.get('drop_path_rate', 0.0),
                'qkv_bias': kwargs.get('qkv_bias', True),
                'norm_cfg': norm,
                **own,
            },
        )
        for name in ('ln1', 'ln2'):  # of the tokens, of their mean
            if hasattr(self, name):
                setattr(self, name, build_norm_layer(norm, width))
        if self.frozen_stages > 0:
            self._freeze_stages()

    def init_weights(self) -> None:
        """Draw the class token, too, as released; upstream leaves it at zero."""
        super().init_weights()
        init = self.init_cfg
        kind = init['type'] if isinstance(init, dict) else None
        if self.cls_token is not None and not is_kind(
            kind, PretrainedInit, WEIGHT_INITIALIZERS
        ):
            with torch.no_grad():
                trunc_normal_(self.cls_token, std=0.02)
