from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn

from mmvitkd.registry import MODELS

from .self_attention_generative_projector import SelfAttentionGenerativeProjector


@MODELS.register_module()
class TransformerGenerativeProjector(SelfAttentionGenerativeProjector):
    """Generate the teacher's last layer by whole transformer layers.

    :class:`SelfAttentionGenerativeProjector` with an MLP of four times the width
    behind the attention: the decoder of `MAE <https://arxiv.org/abs/2111.06377>`_
    as the generative block of `ViTKD <https://arxiv.org/abs/2209.02432>`_.
    Arguments as for :class:`SelfAttentionGenerativeProjector`.
    """

    @staticmethod
    def _block(channels: int, num_heads: int) -> nn.Module:
        return TransformerEncoderLayer(channels, num_heads, 4 * channels)
