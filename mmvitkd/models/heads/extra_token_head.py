from typing import Any

import torch
from mmpretrain.models import VisionTransformerClsHead
from torch import Tensor, nn

from mmvitkd.registry import MODELS


@MODELS.register_module()
class ExtraTokenClsHead(VisionTransformerClsHead):
    r"""A classifier for the class token and one for every extra token, as in
    `Training data-efficient image transformers & distillation through attention
    <https://arxiv.org/abs/2012.12877>`_.

    The labels teach only the class token, and terms the others, each of which has a
    head to tap: ``head.layers.head_<name>``. A prediction is the mean of all logits,
    as in the released code; the paper speaks of adding the softmax outputs. An extra
    head that no term taps stays as it began, and is in that mean nevertheless.

    The backbone yields a tuple of tokens, the class token first: MMPretrain's
    ``DistilledVisionTransformer``, for one extra token. Its ``DeiTClsHead`` has the
    same weights, and averages in training too, so it can't be trained.

    Args:
        extra_tokens: The names of the tokens after the class token, in the backbone's
            order. Defaults to ``('dist',)``, DeiT's distillation token.
        **kwargs: As for ``VisionTransformerClsHead``. A hidden layer is shared by all
            tokens.

    Raises:
        ValueError: If there is no extra token, or a name twice.
    """

    def __init__(
        self, *, extra_tokens: tuple[str, ...] = ('dist',), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.extra_tokens = tuple(extra_tokens)
        names = set(self.extra_tokens)
        if isinstance(extra_tokens, str) or not 0 < len(names) == len(extra_tokens):
            raise ValueError(
                'extra_tokens must be different names, at least one, such as '
                f"('dist',), got {extra_tokens!r}"
            )
        width = self.layers.head.in_features
        for name in self.extra_tokens:
            self.layers.add_module(f'head_{name}', nn.Linear(width, self.num_classes))

    def pre_logits(self, feats: tuple) -> tuple[Tensor, ...]:
        """Take the tokens ``(B, C)`` of the last stage, through a hidden layer if any.

        Raises:
            ValueError: If there are not as many as heads.
        """
        tokens, heads = feats[-1], 1 + len(self.extra_tokens)
        if isinstance(tokens, Tensor):  # of a ViT with only a class token
            tokens = (tokens,)
        if len(tokens) != heads:
            raise ValueError(
                f'a head with extra_tokens={self.extra_tokens} takes {heads} tokens '
                f'from the backbone, which yields {len(tokens)}: for one extra token, '
                "the backbone is a 'DistilledVisionTransformer', for several an "
                "'ExtraTokenViT'"
            )
        return tuple(super(ExtraTokenClsHead, self).pre_logits((t,)) for t in tokens)

    def forward(self, feats: tuple) -> Tensor:
        """Return logits ``(B, K)``: in training the class token's, else the mean.

        Every head runs in either case, so that taps on them fire.
        """
        tokens = self.pre_logits(feats)
        heads = [
            self.layers.get_submodule(name)
            for name in ('head', *(f'head_{name}' for name in self.extra_tokens))
        ]
        logits = [head(token) for head, token in zip(heads, tokens, strict=True)]
        return logits[0] if self.training else torch.stack(logits).mean(0)

    @staticmethod
    def upstream(cfg: dict) -> dict:
        """Name MMPretrain's own head of the same weights and predictions, if any."""
        if tuple(cfg.get('extra_tokens', ('dist',))) != ('dist',):
            return cfg
        kept = {key: value for key, value in cfg.items() if key != 'extra_tokens'}
        return {**kept, 'type': 'DeiTClsHead'}
