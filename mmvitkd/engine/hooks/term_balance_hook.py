from statistics import median
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap

from .distillation_monitor_hook import (
    TASK,
    gradient,
    joint,
    shared_parameters,
    split_losses,
)
from .term_weight_hook import TermWeightHook

KEY = 'term_weights'  # in a checkpoint


@HOOKS.register_module()
class TermBalanceHook(Hook):
    """Set the weights of terms from their gradients in the first steps.

    .. code:: python

        custom_hooks = [
            dict(type='mmvitkd.TermBalanceHook', shares=dict(mimic0=0.1, gen=0.2))]

    For ``steps`` steps training goes on with the config's weights, and the gradient of
    each loss alone is taken at the parameters of one module of the student that lies
    below the taps. Then every term that has a share gets the ``loss_weight`` by which
    the norm of its gradient would have been that share of the sum of all norms; the
    rest of the sum is the task's, whose weight stays. From there on the weights are
    constants. They are logged as options that a config can repeat, and stored in
    checkpoints, so that a resumed run has them.

    Where there is no task (``task_weight=0``), shares add up to 1, and the first term
    keeps its weight. Terms without a share keep theirs, and count for nothing.

    Args:
        shares: Between 0 and 1, by the term's name.
        steps: How many are looked at; the median of each norm counts. Defaults to 20.
        module: As of :class:`DistillationMonitorHook`. Defaults to None, the first
            convolution that is trained.

    Raises:
        ValueError: If shares or steps can't be. Before training: if a term has no
            ``loss_weight``, or its weight follows a schedule, the student has no such
            module, or the strategy shards gradients. Then: if a term has no gradient
            there.
    """

    priority = 'ABOVE_NORMAL'  # before what looks at weights

    def __init__(
        self, shares: dict[str, float], steps: int = 20, module: str | None = None
    ) -> None:
        wrong = {k: v for k, v in shares.items() if not 0 < v < 1}
        if not shares or (wrong and list(shares.values()) != [1]):
            raise ValueError(
                'TermBalanceHook: shares are numbers between 0 and 1 by the names of '
                f'terms, got {shares}'
            )
        if sum(shares.values()) > 1 + 1e-6:
            raise ValueError(
                f'TermBalanceHook: shares add up to {sum(shares.values()):g}, but the '
                'task and all terms have 1'
            )
        if steps < 1:
            raise ValueError(f'TermBalanceHook: steps must be at least 1, got {steps}')
        self.shares = dict(shares)
        self.steps = steps
        self.module = module
        self.weights: dict[str, float] = {}  # once they are set
        self._norms: dict[str, list[float]] = {}
        self._model: Any = None
        self._parameters: list[nn.Parameter] = []
        self._seen: dict[str, Tensor] = {}
        self._scale = 1.0

    def before_train(self, runner: Runner) -> None:
        """Find what is to be weighed."""
        model: Any = unwrap(runner.model)
        if not getattr(model, 'terms', True):
            return  # terms=None: the student alone
        losses = {name: term.loss for name, term in getattr(model, 'terms', {}).items()}
        weighted = [n for n, one in losses.items() if hasattr(one, 'loss_weight')]
        unfit = [name for name in self.shares if name not in weighted]
        if unfit:
            raise ValueError(
                f'TermBalanceHook: {unfit} are no terms whose loss has a loss_weight; '
                f'of the terms {list(losses)}, these have: {weighted}'
            )
        for hook in runner.hooks:
            scheduled = isinstance(hook, TermWeightHook) and hook.schedules
            if both := sorted(set(scheduled or ()) & set(self.shares)):
                raise ValueError(
                    f'TermBalanceHook: the weights of {both} follow a TermWeightHook'
                )
        if not isinstance(runner, Runner):  # FlexibleRunner, whose strategies shard
            raise ValueError(
                f'TermBalanceHook: {type(runner.strategy).__name__} does not let '
                'gradients be taken apart: balance a run of one process, and write its '
                'weights into the config'
            )
        if runner.cfg.get('compile'):
            raise ValueError('TermBalanceHook: a compiled step can not be looked into')
        self._model = model
        if self.weights:  # of the run that is resumed
            self._set(self.weights)
            return
        _, self._parameters = shared_parameters(
            model.student, self.module, type(self).__name__
        )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Look at this step."""
        if self._model is not None and not self.weights:
            # without it, small gradients are lost in float16
            scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
            self._scale = 1.0 if scaler is None else scaler.get_scale()
            self._model.observers.append(self._observe)

    def _observe(
        self, losses: dict[str, Tensor], outputs: dict, target: Tensor | None
    ) -> None:
        scale = self._scale
        parts = split_losses(losses, list(self._model.terms))
        some = {n: v for n, v in parts.items() if n == TASK or n in self.shares}
        # outside of autocast, as the backward pass
        with torch.autocast(self._parameters[0].device.type, enabled=False):
            self._seen = {
                name: gradient(loss * scale, self._parameters) / scale
                for name, loss in some.items()
            }

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Remember the norms; set the weights after the last of these steps."""
        if self._model is None or self._observe not in self._model.observers:
            return
        self._model.observers.remove(self._observe)
        for name, value in joint(self._seen).items():
            self._norms.setdefault(name, []).append(float(value.norm()))
        self._seen = {}
        if len(next(iter(self._norms.values()))) < self.steps:
            return
        losses = {name: self._model.terms[name].loss for name in self.shares}
        old = {name: float(loss.loss_weight) for name, loss in losses.items()}
        norms = {name: median(values) for name, values in self._norms.items()}
        self.weights = balanced(old, norms, self.shares)
        self._set(self.weights)
        options = ' '.join(
            f'model.terms.{name}.loss.loss_weight={weight:.4g}'
            for name, weight in self.weights.items()
        )
        runner.logger.info(
            f'TermBalanceHook: weights from step {runner.iter + 2} on, by the '
            f'gradients of {self.steps}; to repeat them: --cfg-options {options}'
        )

    def _set(self, weights: dict[str, float]) -> None:
        for name, weight in weights.items():
            self._model.terms[name].loss.loss_weight = weight

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the weights, or the norms so far."""
        checkpoint[KEY] = {'weights': self.weights, 'norms': self._norms}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take them over."""
        if runner._resume and KEY in checkpoint:
            self.weights = dict(checkpoint[KEY]['weights'])
            self._norms = {k: list(v) for k, v in checkpoint[KEY]['norms'].items()}


def balanced(
    weights: dict[str, float], norms: dict[str, float], shares: dict[str, float]
) -> dict[str, float]:
    """Return weights by which the norms of gradients have their shares of the sum.

    Args:
        weights: By which the norms were measured, by term.
        norms: By term; the task's under ``''``, if there is one.
        shares: By term.

    Raises:
        ValueError: If a norm is zero or not finite, or shares don't add up.
    """
    for name, norm in norms.items():
        if not 0 < norm < float('inf'):
            whose = f"term '{name}'" if name else 'the task'
            raise ValueError(
                f'TermBalanceHook: the gradient of {whose} has the norm {norm:g} at '
                'the module: give module=, the path of one below its tap, and a '
                'loss_weight above 0 to begin with'
            )
    rest = 1 - sum(shares.values())
    if TASK in norms:
        if rest <= 1e-6:
            raise ValueError(
                'TermBalanceHook: shares add up to 1, which leaves nothing to the task'
            )
        unit = norms[TASK] / rest
    else:
        if abs(rest) > 1e-6:
            raise ValueError(
                f'TermBalanceHook: without labels, shares must add up to 1, got '
                f'{1 - rest:g}'
            )
        first = next(iter(shares))
        unit = norms[first] / shares[first]
    return {
        name: weights[name] * share * unit / norms[name]
        for name, share in shares.items()
    }
