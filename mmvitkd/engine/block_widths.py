"""Widths of a model's blocks under a price, by a primal-dual method; only torch."""

from typing import Any

import torch
from torch import Tensor

# columns of what a block has one of for its heads, one for its units, and one for the
# dimensions of each head
LEVELS = (slice(0, 1), slice(1, 2), slice(2, None))


class BlockWidths:
    r"""How many heads, dimensions in heads and hidden units blocks do without.

    .. math::
        \min_{W, s} \max_{y \ge 0} L(W) + \sum_i y_i S(\lceil s_i \rceil; W) + z R(s)

    with the numbers of what is removed :math:`s`, their prices :math:`y`, and the sum
    :math:`S(k; W)` of the k smallest squared norms. A group is the columns that read a
    head, a dimension or a unit, in the weights of ``attn.proj`` and ``ffn``'s output.

    Args:
        attention: Weights of every block's ``attn.proj``, ``(C, H * D)``.
        mlp: Of every block's second MLP layer, ``(C, U)``.
        num_heads: H.
        shares: Of the whole model's multiply-adds, ``(L, 4)``: a block's that neither
            width changes, those of queries and keys, those of values, those of units.
        lr, price_lr, heads, dims, units: As for ``BlockSkippingHook``.
    """

    def __init__(
        self,
        attention: list[Tensor],
        mlp: list[Tensor],
        num_heads: int,
        shares: Tensor,
        lr: float,
        price_lr: float,
        heads: bool,
        dims: bool,
        units: bool,
    ) -> None:
        self.attention, self.mlp, self.shares = attention, mlp, shares
        self.lr, self.price_lr = lr, price_lr
        size = (len(attention), num_heads, attention[0].shape[1] // num_heads)
        hidden = mlp[0].shape[1]
        self.kept_dims = shares.new_ones(size, dtype=torch.bool)  # (L, H, D)
        self.kept_units = shares.new_ones(size[0], hidden, dtype=torch.bool)
        # one of each is left
        most = [heads * (size[1] - 1), units * (hidden - 1)]
        most += [dims * (size[2] - 1)] * num_heads
        self.most = shares.new_tensor(most)  # (2 + H,)
        self.removed = shares.new_zeros(size[0], len(most)).requires_grad_()  # s
        self.prices = torch.full_like(self.removed, 1e-3, requires_grad=False)  # y

    def block_shares(self) -> Tensor:
        """Return the blocks' shares of multiply-adds, ``(L,)``, a function of s."""
        removed = self.removed + (self.removed.ceil() - self.removed).detach()
        heads, units, dims = (removed[:, level] for level in LEVELS)
        read = self.kept_dims.any(2)  # (L, H)
        dims = heads * self.kept_dims.shape[2] + (dims * read).sum(1, keepdim=True)
        left = [
            torch.ones_like(heads),
            1 - heads / read.shape[1],
            1 - dims / self.kept_dims[0].numel(),
            1 - units / self.kept_units.shape[1],
        ]
        return (self.shares * torch.cat(left, 1)).sum(1)

    def least_share(self) -> float:
        """Return the share of multiply-adds of all blocks at their narrowest."""
        heads, dims = self.kept_dims.shape[1:]
        one_head = 1 - float(self.most[0]) / heads
        one_dim = one_head * (1 - float(self.most[2]) / dims)
        one_unit = 1 - float(self.most[1]) / self.kept_units.shape[1]
        left = self.shares.new_tensor([1, one_head, one_dim, one_unit])
        return float((self.shares * left).sum())

    @torch.no_grad()
    def shrink(self, rates: Tensor) -> None:
        """Take the proximal step: divide the smallest groups by 1 + 2 lr y.

        Args:
            rates: Learning rates of the weights, ``(L, 2)``, attention and MLP.
        """
        of_attention, of_mlp = (
            1 + 2 * rate * self.prices for rate in rates.split(1, dim=1)
        )  # (L, 2 + H)
        heads, units, dims = self._smallest()
        by_head, by_unit, by_dim = LEVELS
        divisors = of_attention[:, by_dim, None].where(dims, 1.0)  # (L, H, D)
        divisors = divisors * of_attention[:, by_head].where(heads, 1.0)[..., None]
        of_units = of_mlp[:, by_unit].where(units, 1.0)  # (L, U)
        for block, divisor in enumerate(divisors.flatten(1)):
            self.attention[block].div_(divisor)
            self.mlp[block].div_(of_units[block])

    @torch.no_grad()
    def step(self, price: float, of_resource: Tensor) -> None:
        """Move the numbers, then their prices, and decide what is kept.

        Args:
            price: z, of multiply-adds.
            of_resource: The resource's gradient, ``(L, 2 + H)``.
        """
        slopes = self._least()[1]
        gradient = self.prices * slopes + price * of_resource
        # what is at its bound does not count among what is clipped
        gradient = gradient.where(self.removed > 0, gradient.clamp(max=0))
        gradient = gradient.where(self.removed < self.most, gradient.clamp(min=0))
        for part in (gradient[:, :2], gradient[:, 2:]):
            part /= part.abs().max().clamp(min=1)
        self.removed -= self.lr * gradient
        self.removed.clamp_(min=0)
        torch.minimum(self.removed, self.most, out=self.removed)
        self.prices += self.price_lr * self._least()[0]
        heads, units, dims = self._smallest()
        self.kept_dims, self.kept_units = ~(heads[..., None] | dims), ~units

    def describe(self) -> str:
        """Say in a few words how much is kept."""
        kept = {
            'heads': self.kept_dims.any(2),
            'dimensions': self.kept_dims,
            'hidden units': self.kept_units,
        }
        counts = (f'{name} {int(k.sum())}/{k.numel()}' for name, k in kept.items())
        return ', '.join(counts)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that a resumed run and the export need."""
        names = ('removed', 'prices', 'kept_dims', 'kept_units')
        return {name: getattr(self, name).detach().cpu().clone() for name in names}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another run's widths."""
        for name, value in state.items():
            getattr(self, name).copy_(value)

    def _norms(self) -> list[Tensor]:
        """Square and sum columns: heads ``(L, 1, H)``, units, dims ``(L, H, D)``."""
        dims, units = (
            torch.stack([weight.float().square().sum(0) for weight in weights])
            for weights in (self.attention, self.mlp)
        )
        dims = dims.view(self.kept_dims.shape)
        return [dims.sum(2)[:, None], units[:, None], dims]

    def _smallest(self) -> tuple[Tensor, Tensor, Tensor]:
        """Tell which heads ``(L, H)``, units ``(L, U)``, dims ``(L, H, D)`` go."""
        heads, units, dims = (
            smallest_groups(norms, self.removed[:, level].ceil())
            for norms, level in zip(self._norms(), LEVELS, strict=True)
        )
        return heads[:, 0], units[:, 0], dims

    def _least(self) -> tuple[Tensor, Tensor]:
        """Sum the smallest norms up, ``(L, 2 + H)``, and give the sum's slopes."""
        sums, slopes = zip(
            *(
                least_sum(norms, self.removed[:, level].ceil())
                for norms, level in zip(self._norms(), LEVELS, strict=True)
            ),
            strict=True,
        )
        return torch.cat(sums, 1), torch.cat(slopes, 1)


def smallest_groups(norms: Tensor, count: Tensor) -> Tensor:
    """Tell which of ``(..., G)`` are the smallest; of equal ones, the first.

    Args:
        norms: Of the groups.
        count: How many, ``(...)``.
    """
    ranks = norms.argsort(dim=-1, stable=True).argsort(dim=-1)
    return ranks < count[..., None]


def least_sum(norms: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the smallest of ``(..., G)`` up.

    Args:
        norms: Of the groups.
        count: How many, ``(...)``, fewer than G.

    Returns:
        The sum, and its slope by their number: the smallest norm that is not in it.
    """
    ordered = norms.sort(-1).values
    places = torch.arange(norms.shape[-1], device=norms.device)
    total = (ordered * (places < count[..., None])).sum(-1)
    return total, ordered.gather(-1, count[..., None].long()).squeeze(-1)
