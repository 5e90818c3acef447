from typing import Any

from mmengine.model import ModuleList
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count, check_heads, sincos_positions
from .generative_projector import GenerativeProjector


class _SelfAttentionBlock(nn.Module):
    """``x + attention(norm(x))``, half of a transformer's layer.

    Args:
        channels: The width.
        num_heads: Number of heads.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attn = nn.MultiheadAttention(channels, num_heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, N, C)`` to the same shape."""
        y = self.norm(x)
        return x + self.attn(y, y, y, need_weights=False)[0]


@MODELS.register_module()
class SelfAttentionGenerativeProjector(GenerativeProjector):
    """Generate the teacher's last layer by self-attention over all tokens.

    The self-attention block of section 5.4 of `ViTKD
    <https://arxiv.org/abs/2209.02432>`_, after the decoder of `MAE
    <https://arxiv.org/abs/2111.06377>`_: add a fixed sine-cosine embedding of the
    places, let visible tokens and mask tokens attend to each other, then a
    LayerNorm and a linear layer. The paper does not describe its block further;
    this one has no MLP, which :class:`TransformerGenerativeProjector` has.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: The teacher's width; inferred by the distiller.
        args: As for :class:`GenerativeProjector`.
        num_heads: Number of heads; it divides the teacher's width. Defaults to 8.
        num_layers: Number of blocks. Defaults to 1.
        kwargs: As for :class:`GenerativeProjector`.

    Raises:
        ValueError: If ``num_heads`` does not divide ``out_channels``, or there is
            no layer.
    """

    generate: ModuleList

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *args: Any,
        num_heads: int = 8,
        num_layers: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, *args, **kwargs)
        check_heads(num_heads, out_channels)
        check_count('num_layers', num_layers)
        self.generate = ModuleList(
            self._block(out_channels, num_heads) for _ in range(num_layers)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(out_channels), nn.Linear(out_channels, out_channels)
        )

    @staticmethod
    def _block(channels: int, num_heads: int) -> nn.Module:
        return _SelfAttentionBlock(channels, num_heads)

    def _generate(self, x: Tensor, mask: Tensor, hw: tuple[int, int]) -> Tensor:
        positions = sincos_positions(hw, x.shape[-1], x.device)  # (N, C_out)
        return self.head(self._attend(x + positions.to(x.dtype), mask))

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run the blocks on ``(B, N, C_out)``."""
        for block in self.generate:
            x = block(x)
        return x
