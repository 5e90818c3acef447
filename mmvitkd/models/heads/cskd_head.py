from typing import Any

import torch
from mmpretrain.models import VisionTransformerClsHead
from torch import Tensor

from mmvitkd.registry import MODELS

from .extra_token_head import ExtraTokenClsHead


@MODELS.register_module()
class CSKDClsHead(ExtraTokenClsHead):
    """DeiT's two classifiers, the second of which sees the patches as well: the head of
    `Cumulative Spatial Knowledge Distillation for Vision Transformers
    <https://arxiv.org/abs/2307.08500>`_.

    ``layers.head_dist`` classifies the distillation token and all patch tokens at
    once, so that one module has two taps: ``dict(path='head.layers.head_dist',
    tokens='cls')`` of the token and ``'head.layers.head_dist'`` of the patches. A
    prediction is the mean of three: class token, distillation token, mean of the
    patches. The labels teach only the first.

    The backbone is a ``DistilledVisionTransformer`` with ``out_type='raw'``.

    Args:
        **kwargs: As for ``VisionTransformerClsHead``. A hidden layer is shared by all
            tokens.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(extra_tokens=('dist',), **kwargs)

    def pre_logits(self, feats: tuple) -> Any:
        """Take all tokens ``(B, 2 + N, C)``, through a hidden layer if any.

        Raises:
            ValueError: If the backbone yields no patch tokens.
        """
        x = feats[-1]
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[1] < 3:
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                'CSKDClsHead takes class, distillation and patch tokens, '
                f"(B, 2 + N, C), got {shape}: set out_type='raw' in a "
                'DistilledVisionTransformer'
            )
        return VisionTransformerClsHead.pre_logits(self, (x,))

    def forward(self, feats: tuple) -> Tensor:
        """Return logits ``(B, K)``: in training the class token's, else the mean."""
        x = self.pre_logits(feats)
        logits = self.layers.head(x[:, 0])
        taught = self.layers.head_dist(x[:, 1:])  # (B, 1 + N, K)
        if self.training:
            return logits
        return torch.stack([logits, taught[:, 0], taught[:, 1:].mean(1)]).mean(0)

    @staticmethod
    def upstream(cfg: dict) -> dict:
        """MMPretrain has no head of the same predictions."""
        return cfg
