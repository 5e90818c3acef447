import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_grid, check_heads, check_positive, on_grid, resample_tokens


@MODELS.register_module()
class CrossAttentionProjector(BaseModule):
    r"""Queries of the teacher's form look at the student's tokens, from `ScaleKD:
    Strong Vision Transformers Could Be Excellent Teachers
    <https://arxiv.org/abs/2411.06786>`_.

    .. math::
        a = softmax\Big(\frac{\lambda}{\sqrt d} \, Q K^\top\Big) V, \quad
        p = FFN(LN(W a))

    :math:`K` and :math:`V` are of the student's tokens, behind a 3x3 convolution, a
    batch norm and learned positions, :math:`Q` of learned tokens, or of what another
    term has made: ``query='<term>'`` beside this neck. So the result has as many tokens
    as there are queries, whatever the student's grid. No shortcut goes round the
    attention.

    The batch norm has no running statistics: a neck is used in training only.

    Args:
        in_channels: The student's width; inferred by the distiller.
        out_channels: Of the queries and the result. Inferred as the teacher's width;
            to be given where the term goes ``through`` a part that takes another.
        grid: ``(H, W)`` of the student's tokens, for their positions, which are resized
            for others. Defaults to ``(14, 14)``.
        queries: ``(H, W)`` of learned ones. Defaults to None: they come from another
            term.
        num_heads: Of the attention. Defaults to 8.
        scale: :math:`\lambda`. Defaults to 5.0, as released for ViTs.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If the heads do not divide the width, or ``scale`` is not positive.
    """

    two_sided = True
    takes_query = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        grid: tuple[int, int] = (14, 14),
        queries: tuple[int, int] | None = None,
        num_heads: int = 8,
        scale: float = 5.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_heads = check_heads(num_heads, out_channels)
        self.scale = check_positive('scale', scale)
        self.grid = grid[0], grid[1]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1),
            nn.BatchNorm2d(in_channels, track_running_stats=False),
            nn.ReLU(),
        )
        self.positions = nn.Parameter(torch.empty(1, grid[0] * grid[1], in_channels))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.queries: Tensor | None = None
        if queries is not None:
            learned = torch.randn(1, queries[0] * queries[1], out_channels)
            self.queries = nn.Parameter(learned)
        self.query_hw = queries
        self.query_stem = nn.Sequential(
            nn.Linear(out_channels, out_channels), nn.ReLU()
        )
        self.q = nn.Linear(out_channels, out_channels)
        self.kv = nn.Linear(in_channels, 2 * out_channels)
        self.proj = nn.Linear(out_channels, out_channels)
        self.norm = nn.LayerNorm(out_channels)
        self.ffn = nn.Sequential(
            nn.Linear(out_channels, 4 * out_channels),
            nn.GELU(),
            nn.Linear(4 * out_channels, out_channels),
        )

    def forward(
        self,
        x: Tensor,
        hw: tuple[int, int],
        t: Tensor,
        hw_t: tuple[int, int] | None,
        query: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let the queries look.

        Args:
            x: The student's patch tokens ``(B, N, C_in)``.
            hw: Their grid ``(H, W)`` with ``H * W == N``.
            t: The teacher's side, which is left as it is.
            hw_t: Its grid.
            query: What another term has made, ``(B, M, C_out)``.

        Returns:
            ``(B, M, C_out)``, and ``t``.

        Raises:
            ValueError: If a grid does not match, or there are no queries.
        """
        check_grid(hw, x.shape[1])
        query = self.queries if query is None else query
        if query is None:
            raise ValueError(
                'a CrossAttentionProjector needs queries=(rows, columns), or '
                "query='<another term>' beside it in the term"
            )
        x = on_grid(self.stem, x, hw)
        x = x + resample_tokens(self.positions, self.grid, hw)
        q = self._heads(self.q(self.query_stem(query.to(x.dtype))))
        k, v = (self._heads(part) for part in self.kv(x).chunk(2, -1))
        q = self.scale * q.expand(len(x), -1, -1, -1)
        a = F.scaled_dot_product_attention(q, k, v)  # (B, heads, M, d)
        a = self.norm(self.proj(a.transpose(1, 2).flatten(2)))
        return a + self.ffn(a), t

    def _heads(self, x: Tensor) -> Tensor:
        """Cut ``(B, L, C)`` into ``(B, heads, L, d)``."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
