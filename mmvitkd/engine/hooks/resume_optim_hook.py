import warnings
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap

from ..optimizers.merged_groups_constructor import NAMES
from .regrouping import regroup

OVERRIDE = (
    '--override-optim takes those of the config, with the state of the parameters'
)


@HOOKS.register_module()
class ResumeOptimHook(Hook):
    """Settle whose optimiser and schedules a resumed run goes on with.

    MMEngine takes the checkpoint's, whatever the config says now; those that do not
    fit the config's number of groups or schedulers are refused here.

    Args:
        override: Take the config's: every group's settings, ``paramwise_cfg``
            included, and the schedulers, as they would be now had they been so from
            the start. The parameters keep their state, such as AdamW's moments.
            Defaults to False.
    """

    def __init__(self, override: bool = False) -> None:
        self.override = override

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check what is about to be resumed, or put the config's in its place.

        Raises:
            ValueError: If it does not fit, or can't be kept.
        """
        saved, wrapper = checkpoint.get('optimizer'), runner.optim_wrapper
        if saved is None or not isinstance(wrapper, OptimWrapper):
            return
        regroup(checkpoint, wrapper.optimizer.param_groups, unwrap(runner.model))
        saved = checkpoint['optimizer']
        schedulers = runner.param_schedulers or []
        if not self.override:
            require_same_groups(saved, wrapper)
            require_same_schedulers(checkpoint.get('param_schedulers'), schedulers)
            return
        fast_forward(runner, schedulers, checkpoint['meta'])
        kept = {k: v for k, v in saved.items() if k != 'base_param_settings'}
        state = carry_over(saved, wrapper, unwrap(runner.model))
        checkpoint['optimizer'] = {**kept, **wrapper.state_dict(), 'state': state}
        checkpoint['param_schedulers'] = [s.state_dict() for s in schedulers]


def require_same_groups(saved: dict[str, Any], wrapper: OptimWrapper) -> None:
    """Refuse parameter groups that ``paramwise_cfg`` has changed."""
    groups, groups_now = saved['param_groups'], wrapper.optimizer.param_groups
    old, new = _sizes(groups), _sizes(groups_now)
    if old != new or _names(groups) != _names(groups_now):
        raise ValueError(
            f"the config's optimiser has its parameters in other groups, {len(new)}, "
            f'than the checkpoint, {len(old)}, since paramwise_cfg, the constructor or '
            f'what is trained has changed. {OVERRIDE}'
        )


def require_same_schedulers(saved: Any, schedulers: Any) -> None:
    """Refuse schedules of another number or kind."""
    if saved is None:
        return
    old = [(state.get('param_name'), sorted(state)) for state in saved]
    states = [scheduler.state_dict() for scheduler in schedulers]
    if old != [(state.get('param_name'), sorted(state)) for state in states]:
        raise ValueError(
            f"the config's param_scheduler, {[type(s).__name__ for s in schedulers]}, "
            f"does not fit the checkpoint's, which has {len(old)}. {OVERRIDE}"
        )


def fast_forward(runner: Runner, schedulers: Any, meta: dict[str, Any]) -> None:
    """Step fresh schedulers as often as training would have, in the same order.

    Raises:
        ValueError: If one depends on what validation measured.
    """
    for scheduler in schedulers:
        if getattr(scheduler, 'need_val_args', False):
            raise ValueError(
                f'--override-optim: {type(scheduler).__name__} depends on what every '
                'validation so far has measured, which a checkpoint does not hold'
            )
    length = len(runner.train_dataloader)
    by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
    epochs = 0 if by_iteration else meta['epoch']
    done = 0
    with warnings.catch_warnings():
        # that the optimiser did not step between
        warnings.simplefilter('ignore')
        for iteration in range(1, meta['iter'] + 1):
            _step(schedulers, by_epoch=False)
            if iteration % length == 0 and done < epochs:
                _step(schedulers, by_epoch=True)
                done += 1
        for _ in range(done, epochs):
            _step(schedulers, by_epoch=True)


def _step(schedulers: Any, by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


def carry_over(
    saved: dict[str, Any], wrapper: OptimWrapper, model: nn.Module
) -> dict[int, Any]:
    """Give the saved state of every parameter the number that it has now.

    Args:
        saved: The state of an optimiser, as of its ``state_dict()``.
        wrapper: Of the config's optimiser, whose groups may be others.
        model: With the parameters.

    Raises:
        ValueError: If the order of the saved parameters can't be told, or another
            optimiser's or model's state was saved.
    """
    groups, groups_now = saved['param_groups'], wrapper.optimizer.param_groups
    numbers = [number for group in groups for number in group['params']]
    now = [p for group in groups_now for p in group['params']]
    before: list[Any] = now
    if all(_names(groups)):
        named = dict(model.named_parameters())
        before = [named.get(name) for names in _names(groups) for name in names]
    elif _sizes(groups) != _sizes(groups_now):
        # the constructors go through a model in the order of its parameters
        every = list(model.parameters())
        trained = [p for p in every if p.requires_grad]
        one_by_one = len(groups) == 1 or set(_sizes(groups)) == {1}
        before = {len(every): every, len(trained): trained}.get(len(numbers), [])
        if not one_by_one or not before:
            raise ValueError(
                '--override-optim: which saved state belongs to which parameter '
                f"can't be told, since the checkpoint has {len(groups)} groups of "
                f'{len(numbers)} parameters, the config {len(groups_now)} of '
                f'{len(now)}'
            )
    position = {id(parameter): i for i, parameter in enumerate(now)}
    state = {}
    for number, parameter in zip(numbers, before, strict=True):
        kept = saved['state'].get(number)
        if kept is None or id(parameter) not in position:
            continue
        shapes = {v.shape for v in kept.values() if getattr(v, 'ndim', 0)}
        if shapes - {parameter.shape}:
            raise ValueError(
                f'--override-optim: the saved state {sorted(map(tuple, shapes))} '
                f'does not fit its parameter, {tuple(parameter.shape)}'
            )
        state[position[id(parameter)]] = kept
    return state


def _sizes(groups: Any) -> list[int]:
    return [len(group['params']) for group in groups]


def _names(groups: Any) -> list[list[str]]:
    """Return what merged groups tell of their parameters, nothing for others."""
    return [group.get(NAMES, []) for group in groups]
