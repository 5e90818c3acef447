from typing import Any

from mmpretrain.models.backbones import deit3 as upstream
from torch import Tensor

from mmvitkd.registry import MODELS


class DeiT3TransformerEncoderLayer(upstream.DeiT3TransformerEncoderLayer):
    """MMPretrain's layer with each sub-block behind its own norm."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        x = x + self.attn(self.ln1(x))
        return self.ffn(self.ln2(x), identity=x)


@MODELS.register_module()
class DeiT3(upstream.DeiT3):
    """DeiT III whose features are those of the published weights.

    The backbone of `DeiT III: Revenge of the ViT
    <https://arxiv.org/abs/2204.07118>`_. MMPretrain's own normalises both
    sub-blocks of a layer by ``ln1`` and never uses ``ln2``
    (open-mmlab/mmpretrain#1614), so the published weights lose more than half of
    their accuracy. Arguments, parameter names and checkpoints are the same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for layer in self.layers:
            # upstream's constructor names its layer class: only forward differs
            layer.__class__ = DeiT3TransformerEncoderLayer
