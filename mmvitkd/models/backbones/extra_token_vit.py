from typing import Any

import torch
from mmengine.model import PretrainedInit
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mmvitkd.registry import MODELS, WEIGHT_INITIALIZERS
from mmvitkd.utils.types import is_kind


@MODELS.register_module()
class ExtraTokenViT(VisionTransformer):
    """MMPretrain's ViT with more learned tokens after the class token.

    DeiT's distillation token (`arXiv:2012.12877
    <https://arxiv.org/abs/2012.12877>`_), any number of times. They are rows of the
    parameter ``cls_token``, each with a place in ``pos_embed``.

    Args:
        *args: As for ``VisionTransformer``.
        extra_tokens: How many follow the class token. Defaults to 2.
        **kwargs: As for ``VisionTransformer``; ``out_type='cls_token'``, the default,
            yields a tuple of all these tokens, the class token first.

    Raises:
        ValueError: If ``extra_tokens`` is not positive.
    """

    def __init__(self, *args: Any, extra_tokens: int = 2, **kwargs: Any) -> None:
        if extra_tokens < 1:
            raise ValueError(f'extra_tokens must be at least 1, got {extra_tokens}')
        self.num_extra_tokens = (
            1 + extra_tokens
        )  # upstream's name: class token included
        super().__init__(*args, with_cls_token=True, **kwargs)
        tokens = torch.zeros(1, self.num_extra_tokens, self.embed_dims)
        self.cls_token = nn.Parameter(tokens)

    def init_weights(self) -> None:
        """Let the extra tokens differ; upstream leaves the class token at zero."""
        super().init_weights()
        init = self.init_cfg
        kind = init['type'] if isinstance(init, dict) else None
        if not is_kind(kind, PretrainedInit, WEIGHT_INITIALIZERS):
            with torch.no_grad():
                trunc_normal_(self.cls_token[:, 1:], std=0.02)

    def _format_output(self, x: Tensor, hw: tuple[int, int]) -> Any:
        if self.out_type == 'cls_token':
            return tuple(x[:, : self.num_extra_tokens].unbind(1))  # (B, C) each
        return super()._format_output(x, hw)
