from .conv_generative_projector import ConvGenerativeProjector
from .cross_attention_generative_projector import CrossAttentionGenerativeProjector
from .dense_generative_projector import DenseGenerativeProjector
from .generative_projector import GenerativeProjector
from .linear_projector import LinearProjector
from .mgd_projector import MGDProjector
from .residual_generative_projector import ResidualGenerativeProjector
from .self_attention_generative_projector import SelfAttentionGenerativeProjector
from .simple_fpn import SimpleFPN
from .transformer_generative_projector import TransformerGenerativeProjector

__all__ = [
    'ConvGenerativeProjector',
    'CrossAttentionGenerativeProjector',
    'DenseGenerativeProjector',
    'GenerativeProjector',
    'LinearProjector',
    'MGDProjector',
    'ResidualGenerativeProjector',
    'SelfAttentionGenerativeProjector',
    'SimpleFPN',
    'TransformerGenerativeProjector',
]
