"""The generative projectors, small, with random mask tokens."""

import torch
from torch import nn

from mmvitkd.models import (
    ConvGenerativeProjector,
    CrossAttentionGenerativeProjector,
    DenseGenerativeProjector,
    ResidualGenerativeProjector,
    SelfAttentionGenerativeProjector,
    TransformerGenerativeProjector,
)

ATTENTION = [
    SelfAttentionGenerativeProjector,
    CrossAttentionGenerativeProjector,
    TransformerGenerativeProjector,
]
EVERY = [
    ConvGenerativeProjector,
    ResidualGenerativeProjector,
    DenseGenerativeProjector,
    *ATTENTION,
]
MASKINGS = ['exact', 'bernoulli']
HW = (3, 5)
TOKENS = 15


def neck_of(cls, in_channels=4, out_channels=6, *args, **kwargs):
    """A projector with random mask token, its weights the same in every call."""
    torch.manual_seed(0)
    if cls in ATTENTION:
        kwargs.setdefault('num_heads', 2)
    neck = cls(in_channels, out_channels, *args, **kwargs)
    nn.init.normal_(neck.mask_token)
    return neck


def some_mask(batch=2):
    """A quarter, in other places in each sample."""
    return torch.arange(batch * TOKENS).view(batch, TOKENS) % 4 == 1
