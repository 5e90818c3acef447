import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn


class ConvAttention(MultiheadAttention):
    r"""MMPretrain's attention with a second one by place, which can be a convolution.

    .. math::
        A_h = (1 - \sigma(\lambda_h)) \, softmax(Q_h K_h^T / \sqrt{d})
            + \sigma(\lambda_h) \, softmax(-a_h ||\delta - \Delta_h||^2)

    :math:`\delta` is the offset from one patch to another, in patches. Where
    :math:`a_h` is large, head :math:`h` looks at the neighbour in direction
    :math:`\Delta_h` only, as in `On the Relationship between Self-Attention and
    Convolutional Layers <https://arxiv.org/abs/1911.03584>`_; the gated sum is that of
    `ConViT <https://arxiv.org/abs/2103.10697>`_. Leading tokens have no place: they
    attend, and are attended to, by content alone.
    """

    position_drop: float

    def set_up(self, position_drop: float) -> None:
        """Make MMPretrain's attention into one of this class, which it became.

        The gates and a_h begin at 1, as ConViT's, so that the place outweighs the
        content, and the offsets with the patch itself and its nearest neighbours.

        Args:
            position_drop: Part of the attention by place that is dropped in training.
        """
        self.position_drop = position_drop
        self.gate = nn.Parameter(torch.ones(self.num_heads))
        self.focus = nn.Parameter(torch.ones(self.num_heads))
        self.centre = nn.Parameter(nearest_offsets(self.num_heads))  # (heads, 2)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Map ``(B, T + N, C)``, patches last, and their grid to ``(B, T + N, C)``."""
        batch, length, _ = x.shape
        extra = length - hw[0] * hw[1]
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, self.head_dims)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, T + N, d) each
        dropout = self.attn_drop if self.training else 0.0
        by_content = self.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        by_place = self.places(hw).to(v.dtype) @ v[:, :, extra:]  # (B, heads, N, d)
        gate = self.gate.sigmoid()[:, None, None]
        patches = (1 - gate) * by_content[:, :, extra:] + gate * by_place
        x = torch.cat((by_content[:, :, :extra].to(patches.dtype), patches), 2)
        x = x.transpose(1, 2).reshape(batch, length, -1)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))

    def places(self, hw: tuple[int, int]) -> Tensor:
        """Compute the attention by place, from every patch to every other.

        Returns:
            ``(heads, N, N)``; a row sums to 1, dropout aside.
        """
        sides = (torch.arange(n, device=self.centre.device) for n in hw)
        grid = torch.cartesian_prod(*sides)  # (N, 2)
        offset = grid - grid[:, None]  # (N, N, 2)
        distance = (offset - self.centre[:, None, None]).square().sum(-1)
        attention = (-self.focus[:, None, None] * distance).softmax(-1)
        return F.dropout(attention, self.position_drop, self.training)


def nearest_offsets(count: int) -> Tensor:
    """List offsets on a grid, the nearest first: 9 are a kernel of 3x3.

    Opposite ones come in pairs, those along the row first.

    Returns:
        ``(count, 2)``, by row and column.
    """
    reach = range(-count, count + 1)
    offsets = [(y, x) for y in reach for x in reach]
    offsets.sort(key=lambda o: (o[0] ** 2 + o[1] ** 2, abs(o[0]), o))
    return torch.tensor(offsets[:count], dtype=torch.float32)
