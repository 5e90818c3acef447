from torch import Tensor, nn

from mmvitkd.registry import MODELS

from .self_attention_generative_projector import SelfAttentionGenerativeProjector


class _CrossAttentionBlock(nn.Module):
    """``x + attention(norm(x), norm(keys))``.

    Args:
        channels: The width.
        num_heads: Number of heads.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(channels)
        self.norm_kv = nn.LayerNorm(channels)
        self.attn = nn.MultiheadAttention(channels, num_heads, batch_first=True)

    def forward(self, x: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
        """Let ``x`` attend to the keys that are not hidden.

        Args:
            x: ``(B, N, C)``.
            keys: ``(B, M, C)``, the values as well.
            hidden: Bool ``(B, M)``, True where no one looks.

        Returns:
            ``(B, N, C)``.
        """
        q, kv = self.norm_q(x), self.norm_kv(keys)
        return x + self.attn(q, kv, kv, key_padding_mask=hidden, need_weights=False)[0]


@MODELS.register_module()
class CrossAttentionGenerativeProjector(SelfAttentionGenerativeProjector):
    """Generate the teacher's last layer by attending to the visible tokens only.

    The cross-attention block of section 5.4 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_ (the worst of its table 7), after the
    regressor of `CAE <https://arxiv.org/abs/2202.03026>`_: keys and values are the
    student's visible tokens in every block, and mask tokens ask them. CAE
    generates masked places only; here every place asks, a visible one by its own
    token, so that mask ratio 0, at which every token is compared, has a meaning.
    The rest is as in :class:`SelfAttentionGenerativeProjector`, the arguments too.
    """

    @staticmethod
    def _block(channels: int, num_heads: int) -> nn.Module:
        return _CrossAttentionBlock(channels, num_heads)

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        # a softmax over no key at all is NaN: a sample that was given without a
        # visible token attends to its mask tokens
        hidden = mask & ~mask.all(1, keepdim=True)  # (B, N)
        keys = x  # (B, N, C_out)
        for block in self.generate:
            x = block(x, keys, hidden)
        return x
