import math
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor

from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.pruned_widths import Widths
from mmvitkd.utils.skipped_blocks import SKIPPING

from ..block_gates import BlockGates
from ..gated_blocks import count_block_flops, find_gated, gate, gated_image_size
from ..pruned_blocks import count_width_flops, prune, require_prunable
from .gradients import accumulation, learning_rates

# of the widths, as released
WIDTHS = {'lr': 0.02, 'price_lr': 1e-4, 'heads': True, 'dims': True, 'units': True}


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

    With ``widths``, every block also learns how many heads, dimensions in a head's
    values and hidden units it does without: those that the weights after them, of
    ``attn.proj`` and of the MLP's output, read with the smallest squared norms. At each
    update of the student the columns of these weights shrink in a proximal step, by
    :math:`1 + 2 \eta y` with their learning rate and a price :math:`y` of the norms,
    which rises with them. The numbers go down the gradient of both prices. In
    evaluation what is pruned is masked, and the export has smaller matrices: with
    hidden units alone an ordinary student, with heads or dimensions a
    :class:`~mmvitkd.models.backbones.SlicedViT`.

    The state is in checkpoints. The log shows ``flops``, the share that was drawn,
    ``kept_flops``, the share without what is skipped and pruned by now, and ``price``.

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
        skip: Whether blocks are skipped; with False, ``widths`` alone are learnt.
            Defaults to True.
        widths: Settings of the widths, ``dict()`` for these defaults: ``lr=0.02`` and
            ``price_lr=1e-4``, the learning rates of the numbers and of their prices;
            ``heads``, ``dims`` and ``units``, whether they are pruned, all True. None:
            blocks keep their widths. Defaults to None.

    Raises:
        ValueError: If a setting is out of range. Before training: if the student has no
            such blocks or hands out more than the last one's output, or its blocks'
            widths can't be pruned, if the budget is less than it costs without any
            block, or with the narrowest, or if the loop has no epochs.
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
        skip: bool = True,
        widths: dict[str, Any] | None = None,
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
            'skip': skip,
        }
        self._widths = None if widths is None else _complete(widths)
        if widths is None and not skip:
            raise ValueError(
                'skip=False needs widths=dict(...): else nothing is learnt'
            )
        if not skip and clip is not None and 1 - budget >= clip:
            raise ValueError(
                f'clip={clip} keeps a student that is {1 - budget:.3g} over the budget '
                'from being pruned: give a greater one, or None'
            )
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
        image_size = gated_image_size(model)
        costs = count_block_flops(student, self.blocks, image_size)
        shares = torch.tensor(costs[1:]) / sum(costs)
        device = next(student.parameters()).device
        widths = None
        if self._widths is not None:
            pruned = self._widths
            attention = pruned['heads'] or pruned['dims']
            require_prunable(student, self.blocks, attention)
            parts = torch.tensor(count_width_flops(student, self.blocks, image_size))
            parts = (parts / sum(costs)).to(device)
            widths = prune(student, self.blocks, parts, **pruned)
        self.gates = BlockGates(shares.to(device), **self._settings, widths=widths)
        self._require_budget(costs[0] / sum(costs))
        for number, block in enumerate(blocks):
            if self.gates.skip:
                block.register_forward_hook(gate(self.gates, number))

    def _require_budget(self, outside: float) -> None:
        gates = self._require_gates()
        least, what = outside, f"leaves no block: what is outside '{self.blocks}'"
        if not gates.skip and gates.widths is not None:
            least += gates.widths.least_share()
            what = 'is too small: what is left with the narrowest blocks'
        if gates.budget <= least:
            raise ValueError(
                f'BlockSkippingHook: budget={gates.budget} {what} is {least:.3g} of '
                'all multiply-adds'
            )

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
        if (self.gates.widths is None) != ('widths' not in state):
            has = 'widths' if 'widths' in state else 'no widths'
            raise ValueError(
                f'BlockSkippingHook: the checkpoint has {has}, unlike this run: begin '
                'anew, from the student before it was compressed'
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
        """Refuse a loop without epochs, and widths of what is not trained."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'BlockSkippingHook: warmup_epochs needs a training loop by epochs, got '
                f'{type(runner.train_loop).__name__}'
            )
        self._rates(runner)

    def _rates(self, runner: Any) -> Tensor | None:
        """Return the learning rates of the weights whose columns are pruned, (L, 2)."""
        widths = self._require_gates().widths
        if widths is None:
            return None
        rates = learning_rates(runner)
        pruned = list(zip(widths.attention, widths.mlp, strict=True))
        frozen = [
            number
            for number, weights in enumerate(pruned)
            if not all(p.requires_grad and id(p) in rates for p in weights)
        ]
        if frozen:
            raise ValueError(
                f"BlockSkippingHook: blocks {frozen} of '{self.blocks}' are not "
                'trained, so their widths are not learnt: freeze none'
            )
        return widths.prices.new_tensor([[rates[id(p)] for p in w] for w in pruned])

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
            of_loss, of_resource, error, *of_widths = gates.pull_back()
            found = [of_loss / self._scale, of_resource, error, *of_widths]
            for tensor in found:
                all_reduce(tensor, 'mean')
            self._waiting.append(found)
            done = runner.iter + 1
            if done % accumulation(runner) == 0 or done == runner.max_iters:
                self._update(gates, self._rates(runner))
            share = float(error) + gates.budget
            runner.message_hub.update_scalar('train/flops', share)
        runner.message_hub.update_scalar('train/kept_flops', gates.kept_resource())
        runner.message_hub.update_scalar('train/price', gates.price)

    def _update(self, gates: BlockGates, rates: Tensor | None) -> None:
        """Let gates and widths take a step, alike in all processes."""
        of_loss, of_resource, error, *of_widths = (
            torch.stack(batches) for batches in zip(*self._waiting, strict=True)
        )
        self._waiting = []
        of_loss = of_loss.sum(0)  # the loss was divided by the number of batches
        if not of_loss.isfinite().all():  # float16 overflowed: no step at all
            return
        if gates.widths is not None and rates is not None:
            gates.widths.shrink(rates)
        means = [gradient.mean(0) for gradient in of_widths]
        gates.step(of_loss, of_resource.mean(0), float(error.mean()), *means)

    def after_train_epoch(self, runner: Any) -> None:
        """Log which blocks are left, and what is left in all of them."""
        gates = self._require_gates()
        skipped = [i for i, kept in enumerate(gates.kept) if not kept]
        widths = '' if gates.widths is None else f'; of all {gates.widths.describe()}'
        runner.logger.info(
            f'BlockSkippingHook: blocks skipped of {len(gates.kept)}: '
            f'{skipped or "none"}{widths}; multiply-adds: {gates.kept_resource():.1%}, '
            f'budget {gates.budget:.1%}; price {gates.price:.3g}'
        )

    def after_train(self, runner: Any) -> None:
        """Say how wide the kept blocks are, and if the budget was missed."""
        gates = self._require_gates()
        if gates.widths is not None:
            kept = [i for i, is_kept in enumerate(gates.kept) if is_kept]
            widths = Widths(gates.widths.kept_dims, gates.widths.kept_units).of(kept)
            left = {
                'value_dims': widths.value_dims(),
                'hidden_units': widths.hidden_units(),
            }
            lines = (f'{name}={value}'.replace(' ', '') for name, value in left.items())
            runner.logger.info(
                '\n'.join(['BlockSkippingHook: what is left, by block:', *lines])
            )
        if gates.kept_resource() > gates.budget + 1e-6:  # of float32
            larger = 'resource_weight' if gates.skip else 'price_lr'
            runner.logger.warning(
                f'BlockSkippingHook: {gates.kept_resource():.1%} of the multiply-adds '
                f'are left, more than budget={gates.budget}: train longer, or with a '
                f'larger {larger}'
            )

    def _require_gates(self) -> BlockGates:
        if self.gates is None:
            raise RuntimeError('BlockSkippingHook has not seen before_run')
        return self.gates


def _complete(widths: dict[str, Any]) -> dict[str, Any]:
    """Check settings of widths, and fill in the others."""
    if not isinstance(widths, dict):
        raise ValueError(f'widths must be a dict, or None for no widths, got {widths}')
    unknown = sorted(set(widths) - set(WIDTHS))
    if unknown:
        raise ValueError(f'widths has {unknown}: it takes {list(WIDTHS)}')
    settings = {**WIDTHS, **widths}
    for name in ('lr', 'price_lr'):
        if not 0 < settings[name] < math.inf:
            raise ValueError(
                f'widths: {name}={settings[name]} must be positive and finite'
            )
    if not any(settings[name] for name in ('heads', 'dims', 'units')):
        raise ValueError('widths: heads, dims and units are all False: set one to True')
    return settings
