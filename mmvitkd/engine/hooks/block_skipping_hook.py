import math
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.skipped_blocks import SKIPPING

from ..block_gates import BlockGates
from ..gated_blocks import count_block_flops, find_gated, gate, gated_image_size
from .gradients import accumulation


@HOOKS.register_module()
class BlockSkippingHook(Hook):
    r"""Learn which blocks a student can do without, under a budget of multiply-adds, as
    in `Unified Visual Transformer Compression <https://arxiv.org/abs/2203.08243>`_.

    Every block has two logits, from which each iteration draws a gate :math:`g` by a
    Gumbel softmax,

    .. math::
        x \leftarrow g_1 \, \mathrm{block}(x) + g_0 \, x

    A price :math:`z` of multiply-adds rises while they are over the budget, and falls,
    to 0 at least, while they are under it; the gates go down the gradient of loss and
    price. In evaluation a block is run or skipped, by the greater logit. ``python -m
    mmvitkd export`` leaves the skipped ones out: an ordinary, shallower student.

    The gates' state is in checkpoints. The log shows ``flops``, the share that was
    drawn, ``kept_flops``, the share without the blocks that are skipped by now, and
    ``price``.

    Args:
        budget: Share of the student's multiply-adds that may be left, over 0 and at
            most 1.
        blocks: Path of the student's list of blocks. Defaults to
            ``'backbone.layers'``.
        warmup_epochs: Epochs with all gates at 1/2, gates and price at rest. Defaults
            to 5.
        temperature: Of the softmax. Defaults to 0.5.
        lr: The gates' learning rate; SGD with momentum 0.9 and weight decay 1e-4.
            Defaults to 0.1.
        price_lr: The price's learning rate. Defaults to 1.0.
        resource_weight: Factor of the price in the gates' gradient. Defaults to 5e-4.
        clip: How far over or under the budget the gates are still pulled; farther
            away they have no gradient of the resource, as released. None: anywhere.
            Defaults to 0.5.
        interval: Steps whose gradients are averaged for an update of the gates.
            Defaults to 50.
        weigh_positions: Multiply each of these gradients by its number, from 0, as
            released. Defaults to True.

    Raises:
        ValueError: If a setting is out of range. Before training: if the student has no
            such blocks or hands out more than the last one's output, if the budget is
            less than it costs without any block, or if the loop has no epochs.
    """

    def __init__(
        self,
        budget: float,
        blocks: str = 'backbone.layers',
        warmup_epochs: int = 5,
        temperature: float = 0.5,
        lr: float = 0.1,
        price_lr: float = 1.0,
        resource_weight: float = 5e-4,
        clip: float | None = 0.5,
        interval: int = 50,
        weigh_positions: bool = True,
    ) -> None:
        if not 0 < budget <= 1:
            raise ValueError(
                f'budget={budget} must be a share of multiply-adds, '
                'over 0 and at most 1'
            )
        positive = {'temperature': temperature, 'lr': lr, 'price_lr': price_lr}
        positive['resource_weight'] = resource_weight
        if clip is not None:
            positive['clip'] = clip
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise ValueError(f'{name}={value} must be positive and finite')
        smallest = 2 if weigh_positions else 1
        if interval < smallest:
            why = ': the first gradient has the weight 0' if weigh_positions else ''
            raise ValueError(f'interval={interval} must be at least {smallest}{why}')
        if warmup_epochs < 0:
            raise ValueError(f'warmup_epochs={warmup_epochs} must be at least 0')
        self.blocks, self.warmup_epochs = blocks, warmup_epochs
        self._settings: dict[str, Any] = {
            'budget': budget,
            'temperature': temperature,
            'lr': lr,
            'price_lr': price_lr,
            'resource_weight': resource_weight,
            'clip': clip,
            'interval': interval,
            'weigh_positions': weigh_positions,
        }
        self.gates: BlockGates | None = None
        self._scale = 1.0
        self._waiting: list[list[Tensor]] = []  # of batches before an update

    def before_run(self, runner: Any) -> None:
        """Count the blocks' multiply-adds and put a gate around every block."""
        if self.gates is not None:  # trained, now tested
            return
        if not isinstance(runner, Runner):
            raise ValueError(
                'BlockSkippingHook: gates are not kept by strategies, such as '
                f'{type(runner.strategy).__name__}: train with DDP'
            )
        model: Any = unwrap(runner.model)
        student = getattr(model, 'student', model)
        blocks = find_gated(student, self.blocks)
        costs = count_block_flops(student, self.blocks, gated_image_size(model))
        shares = torch.tensor(costs[1:]) / sum(costs)
        budget = self._settings['budget']
        if budget * sum(costs) <= costs[0]:
            raise ValueError(
                f'BlockSkippingHook: budget={budget} leaves no block: what is outside '
                f"'{self.blocks}' is {costs[0] / sum(costs):.3g} of all multiply-adds"
            )
        device = next(student.parameters()).device
        self.gates = BlockGates(shares.to(device), **self._settings)
        for number, block in enumerate(blocks):
            block.register_forward_hook(gate(self.gates, number))

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take over the gates of a checkpoint."""
        state = checkpoint.get(SKIPPING)
        if state is None or self.gates is None:
            if runner._resume:
                raise ValueError(
                    'BlockSkippingHook: the checkpoint that is resumed from has no '
                    'gates: begin anew, with load_from'
                )
            return
        if len(state['logits']) != len(self.gates.logits):
            raise ValueError(
                f'BlockSkippingHook: the checkpoint has {len(state["logits"])} gates, '
                f"'{self.blocks}' has {len(self.gates.logits)} blocks"
            )
        self.gates.load_state_dict(state)
        device = self.gates.logits.device
        self._waiting = [[t.to(device) for t in batch] for batch in state['waiting']]

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the gates."""
        checkpoint[SKIPPING] = {
            'blocks': self.blocks,
            'waiting': [[t.cpu() for t in batch] for batch in self._waiting],
            **self._require_gates().state_dict(),
        }

    def before_train(self, runner: Runner) -> None:
        """Refuse a loop without epochs."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'BlockSkippingHook: warmup_epochs needs a training loop by epochs, got '
                f'{type(runner.train_loop).__name__}'
            )

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Draw the gates."""
        gates = self._require_gates()
        if runner.epoch < self.warmup_epochs:
            gates.open_halfway()
            return
        gates.draw()
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        self._scale = 1.0 if scaler is None else scaler.get_scale()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update gates and price, after the student's own update."""
        gates = self._require_gates()
        if runner.epoch >= self.warmup_epochs:
            of_loss, of_resource, error = gates.pull_back()
            found = [of_loss / self._scale, of_resource, error]
            for tensor in found:
                all_reduce(tensor, 'mean')
            self._waiting.append(found)
            done = runner.iter + 1
            if done % accumulation(runner) == 0 or done == runner.max_iters:
                self._update(gates)
            share = float(error) + gates.budget
            runner.message_hub.update_scalar('train/flops', share)
        runner.message_hub.update_scalar('train/kept_flops', gates.kept_resource())
        runner.message_hub.update_scalar('train/price', gates.price)

    def _update(self, gates: BlockGates) -> None:
        """Let the gates take a step, alike in all processes."""
        of_loss, of_resource, error = (
            torch.stack(batches) for batches in zip(*self._waiting, strict=True)
        )
        self._waiting = []
        of_loss = of_loss.sum(0)  # the loss was divided by the number of batches
        if bool(of_loss.isfinite().all()):  # else float16 overflowed: no step at all
            gates.step(of_loss, of_resource.mean(0), float(error.mean()))

    def after_train_epoch(self, runner: Any) -> None:
        """Log which blocks are left."""
        gates = self._require_gates()
        skipped = [i for i, kept in enumerate(gates.kept) if not kept]
        runner.logger.info(
            f'BlockSkippingHook: blocks skipped of {len(gates.kept)}: '
            f'{skipped or "none"}; multiply-adds: {gates.kept_resource():.1%}, '
            f'budget {gates.budget:.1%}; price {gates.price:.3g}'
        )

    def after_train(self, runner: Any) -> None:
        """Say it, if the budget was missed."""
        gates = self._require_gates()
        if gates.kept_resource() > gates.budget + 1e-6:  # of float32
            runner.logger.warning(
                f'BlockSkippingHook: {gates.kept_resource():.1%} of the multiply-adds '
                f'are left, more than budget={gates.budget}: train longer, or with a '
                'larger resource_weight'
            )

    def _require_gates(self) -> BlockGates:
        if self.gates is None:
            raise RuntimeError('BlockSkippingHook has not seen before_run')
        return self.gates
