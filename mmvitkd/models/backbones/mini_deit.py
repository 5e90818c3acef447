from typing import Any

from mmvitkd.registry import MODELS

from .grid_vit import GridLayer, GridViT
from .mini_attention import MiniAttention
from .weight_sharing import share_linears


@MODELS.register_module()
class MiniDeiT(GridViT):
    """Mini-DeiT, a ViT of which consecutive layers share their weights.

    Of `MiniViT: Compressing Vision Transformers with Weight Multiplexing
    <https://arxiv.org/abs/2204.07154>`_. The layers are as many as a ViT's, and as
    expensive; the first of every ``share_num`` has the weights of attention and MLP
    that all of these use. Each has its own norms, stochastic depth, relative positions
    (iRPE on keys) and two linear maps over heads, before and after the softmax.

    There is no class token: behind ``GlobalAveragePooling``, a head for vectors fits.

    Args:
        *args: As for ``VisionTransformer``.
        share_num: How many layers have the same weights. Defaults to 2.
        rpe_ratio: How far relative positions are told apart: 1.9 tells seven rows and
            seven columns. Defaults to 1.9.
        identity_init: Begin the maps over heads as the identity; else by a truncated
            normal distribution of deviation 0.02, as released, so that the first
            attention is about uniform and its output about zero. Defaults to False.
        out_type: As for ``VisionTransformer``. Defaults to ``'featmap'``.
        **kwargs: As for ``VisionTransformer``.

    Raises:
        ValueError: If ``share_num`` does not divide the layers, or ``rpe_ratio`` is
            less than 0.5.
    """

    def __init__(
        self,
        *args: Any,
        share_num: int = 2,
        rpe_ratio: float = 1.9,
        identity_init: bool = False,
        out_type: str = 'featmap',
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, out_type=out_type, with_cls_token=False, **kwargs)
        if share_num < 1 or self.num_layers % share_num:
            raise ValueError(
                f'share_num must divide the {self.num_layers} layers, got {share_num}'
            )
        if rpe_ratio < 0.5:
            raise ValueError(f'rpe_ratio must be at least 0.5, got {rpe_ratio}')
        for i, layer in enumerate(self.layers):
            if i % share_num:
                share_linears(layer, self.layers[i - i % share_num])
        self.grid_layers = self.num_layers
        for layer in self.layers:
            # upstream's constructor names these classes: only forward differs
            layer.__class__ = GridLayer
            layer.attn.__class__ = MiniAttention
            layer.attn.set_up(rpe_ratio, identity_init)
        if self.frozen_stages > 0:
            self._freeze_stages()  # again: with what is new in these layers
