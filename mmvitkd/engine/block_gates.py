"""Gates of a model's blocks under a budget, by a primal-dual method; only torch."""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .block_widths import BlockWidths


class BlockGates:
    r"""Gates, the price of multiply-adds, and the updates of both.

    .. math::
        \min_g \max_{z \ge 0} L + z (R(g) - b), \quad
        R(g) = r_0 + \sum_l r_l g_l

    with the shares :math:`r` of all multiply-adds, outside the blocks and of each,
    and the budget :math:`b`. A block's share is that at its present width.

    Args:
        shares: Of every block, ``(L,)``, of the whole model's multiply-adds.
        budget, temperature, lr, price_lr, resource_weight, clip, interval,
        weigh_positions, skip: As for ``BlockSkippingHook``.
        widths: Of the blocks, if they are learnt. Defaults to None.
    """

    def __init__(
        self,
        shares: Tensor,
        budget: float,
        temperature: float,
        lr: float,
        price_lr: float,
        resource_weight: float,
        clip: float | None,
        interval: int,
        weigh_positions: bool,
        skip: bool = True,
        widths: BlockWidths | None = None,
    ) -> None:
        self.shares, self.budget, self.temperature = shares, budget, temperature
        self.price_lr, self.resource_weight = price_lr, resource_weight
        self.clip, self.interval = clip, interval
        self.weigh_positions, self.skip, self.widths = weigh_positions, skip, widths
        # (L, 2): of skipping a block and of running it
        self.logits = shares.new_tensor([-1.0, 1.0]).repeat(len(shares), 1)
        self.logits.requires_grad_()
        self.optimizer = torch.optim.SGD(
            [self.logits], lr=lr, momentum=0.9, weight_decay=1e-4
        )
        self.price = 1e-3  # z
        self.collected = torch.zeros_like(self.logits)  # since the last update
        self.count = 0  # of steps, since the warm-up
        self._drawn: Tensor | None = None  # (L, 2), a function of the logits
        self.open_halfway()

    def open_halfway(self) -> None:
        """Let every block be run by half, as in the warm-up."""
        self._drawn = None
        self.values = torch.full_like(self.logits, 0.5, requires_grad=False)
        self.kept = self._decide()

    def draw(self) -> None:
        """Draw the gates of an iteration, ``values`` ``(L, 2)``, and follow them."""
        if self.skip:
            self._drawn = F.gumbel_softmax(self.logits, self.temperature, dim=1)
        else:
            self._drawn = self.logits.new_tensor([0.0, 1.0]).expand_as(self.logits)
        # a leaf: what the loss says of it is here after any number of forwards
        self.values = self._drawn.detach().requires_grad_()

    def pull_back(self) -> list[Tensor]:
        """Take the gradients of the iteration's draw over to what is learnt.

        Returns:
            The loss's gradient and the (clipped) resource's by the logits, ``(L, 2)``,
            how far the draw is over the budget, ``()``, and, with widths, the
            resource's gradient by them, ``(L, 2 + H)``.
        """
        drawn = self._drawn
        if drawn is None:
            raise RuntimeError('pull_back() without draw()')
        error = self.resource(drawn[:, 1]) - self.budget
        bounded = error if self.clip is None else error.clamp(-self.clip, self.clip)
        of_loss, of_resource = torch.zeros_like(drawn), torch.zeros_like(drawn)
        if self.skip:
            (of_resource,) = torch.autograd.grad(
                bounded, self.logits, retain_graph=True
            )
            if self.values.grad is not None:  # else no block was run in training
                (of_loss,) = torch.autograd.grad(
                    drawn, self.logits, self.values.grad, retain_graph=True
                )
        self._drawn = None
        found = [of_loss, of_resource, error.detach()]
        if self.widths is not None:
            found += torch.autograd.grad(bounded, self.widths.removed)
        return found

    def step(
        self,
        of_loss: Tensor,
        of_resource: Tensor,
        error: float,
        of_widths: Tensor | None = None,
    ) -> None:
        """Collect a step's gradients, move the gates when it is time, then the price.

        Widths move at every step. Arguments as :meth:`pull_back` returns them, the
        means of all processes.
        """
        if self.skip:
            self._collect(of_loss + self.price * self.resource_weight * of_resource)
        if self.widths is not None and of_widths is not None:
            self.widths.step(self.price, of_widths)
        self.price = max(0.0, self.price + self.price_lr * error)

    def _collect(self, gradient: Tensor) -> None:
        position = self.count % self.interval
        self.collected += gradient * (position if self.weigh_positions else 1)
        self.count += 1
        if self.count % self.interval == 0:
            self.logits.grad = self.collected / self.interval
            self.optimizer.step()
            self.collected.zero_()
            self.kept = self._decide()

    def resource(self, run: Tensor) -> Tensor:
        """Return the share of all multiply-adds, of blocks run by ``run`` ``(L,)``."""
        shares = self.shares if self.widths is None else self.widths.block_shares()
        return 1 - self.shares.sum() + (shares * run).sum()

    def kept_resource(self) -> float:
        """Return the share that is left without what is skipped or pruned now."""
        return float(self.resource(self.shares.new_tensor(self.kept)))

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed run needs."""
        state = {
            'logits': self.logits.detach().cpu().clone(),
            'optimizer': deepcopy(self.optimizer.state_dict()),
            'price': self.price,
            'collected': self.collected.cpu().clone(),
            'count': self.count,
        }
        if self.widths is not None:
            state['widths'] = self.widths.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of another run's gates."""
        with torch.no_grad():
            self.logits.copy_(state['logits'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.collected.copy_(state['collected'])
        self.price, self.count = state['price'], state['count']
        if self.widths is not None:
            self.widths.load_state_dict(state['widths'])
        self.kept = self._decide()

    def _decide(self) -> list[bool]:
        return (self.logits[:, 1] > self.logits[:, 0]).tolist()
