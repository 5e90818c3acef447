import math
from typing import Any, NamedTuple

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from mmvitkd.registry import HOOKS

RAMP_KEYS = ('begin', 'end', 'start_factor', 'end_factor')
KEYS = {'stop': ('end', 'factor_after'), 'ramp': RAMP_KEYS, 'cosine': RAMP_KEYS}


class Schedule(NamedTuple):
    """A factor as a function of the progress, in epochs or iterations."""

    kind: str
    begin: float
    end: float
    start_factor: float
    end_factor: float

    def factor(self, progress: float) -> float:
        """Return the factor of the weight."""
        if progress >= self.end:
            return self.end_factor
        if progress <= self.begin or self.kind == 'stop':
            return self.start_factor
        share = (progress - self.begin) / (self.end - self.begin)
        if self.kind == 'cosine':
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start_factor + share * (self.end_factor - self.start_factor)


def parse_schedule(whose: str, cfg: Any) -> Schedule:
    """Read ``dict(kind=..., end=...)`` of a term or of the task's weight.

    Raises:
        ValueError: If the kind or a key is unknown, or a value is out of range.
    """
    keys = dict(cfg) if isinstance(cfg, dict) else {}
    kind = keys.pop('kind', None)
    if kind not in KEYS:
        raise ValueError(
            f'{whose} needs dict(kind=...), one of {tuple(KEYS)}, got {cfg!r}'
        )
    unknown = sorted(set(keys) - set(KEYS[kind]))
    if unknown or 'end' not in keys:
        raise ValueError(
            f"{whose}: kind='{kind}' has the keys {KEYS[kind]}, of which 'end' "
            f'must be given, got {keys}'
        )
    if kind == 'stop':
        factors = (1.0, keys.get('factor_after', 0.0))
    else:
        factors = (keys.get('start_factor', 0.0), keys.get('end_factor', 1.0))
    begin, end = keys.get('begin', 0), keys['end']
    if not all(isinstance(number, (int, float)) for number in (begin, end, *factors)):
        raise ValueError(f'{whose}: all but the kind are numbers, got {keys}')
    if not 0 <= begin < end:
        raise ValueError(
            f'{whose}: begin={begin} must be at least 0 and below end={end}'
        )
    if not all(0 <= factor < math.inf for factor in factors):
        raise ValueError(f'{whose}: a factor must be at least 0, got {factors}')
    return Schedule(kind, begin, end, *factors)


@HOOKS.register_module()
class TermWeightHook(Hook):
    """Change the weights of a distiller's terms in the course of training.

    .. code:: python

        custom_hooks = [
            dict(
                type='mmvitkd.TermWeightHook',
                terms=dict(
                    mimic0=dict(kind='stop', end=150),
                    gen=dict(kind='ramp', end=5),
                    nkd=dict(kind='cosine', begin=5, end=300, end_factor=2)))]

    The factor multiplies the ``loss_weight`` of the term's config and follows from
    the number of the iteration alone, so that a resumed run has it right at once.
    The log shows the factor as ``weight_<term>``. While it is 0, the term is not
    run: its loss is 0, what it reaches gets gradients of zero, as DDP expects, and
    a teacher whose terms all weigh 0 has no forward. Of two stages of training, one
    is a schedule:

    .. code:: python

        model = dict(task_weight=0.5, ...)  # then 1
        custom_hooks = [
            dict(
                type='mmvitkd.TermWeightHook',
                terms=dict(hard=dict(kind='stop', end=250)),
                task_weight=dict(kind='stop', end=250, factor_after=2))]

    Args:
        terms: By the term's name, one of

            - ``dict(kind='stop', end=..., factor_after=0)``: 1 until ``end``;
            - ``dict(kind='ramp', begin=0, end=..., start_factor=0, end_factor=1)``:
              a straight line between ``begin`` and ``end``, constant outside;
            - ``dict(kind='cosine', ...)``: half a cosine between the same.

            Defaults to None, no term.
        settings: Other numbers of losses that change, by ``'<term>.<attribute>'``, one
            of the same each. The factor itself is their value, and the log shows it as
            ``<attribute>_<term>``. Defaults to None.
        by_epoch: Whether ``begin`` and ``end`` count epochs, fractions of which are
            allowed, or iterations. The factor changes with every iteration in
            either case. Defaults to True.
        task_weight: One of the same, for the distiller's ``task_weight``, which the
            log shows as it is. Where it falls to 0, DDP must be told of what the
            labels alone have trained (``find_unused_parameters``), as
            ``tools/train.py`` does. Defaults to None.

    Raises:
        ValueError: If a schedule can't be read, or there is none. Before training:
            if the model has no such term, or the term's loss no ``loss_weight`` or no
            such number, or the model is no distiller, or epochs are asked of a loop
            that counts iterations.
    """

    def __init__(
        self,
        terms: dict[str, dict] | None = None,
        by_epoch: bool = True,
        task_weight: dict | None = None,
        settings: dict[str, dict] | None = None,
    ) -> None:
        self.by_epoch = by_epoch
        self.schedules = {
            name: parse_schedule(f"term '{name}'", cfg)
            for name, cfg in (terms or {}).items()
        }
        self.settings = {
            name: parse_schedule(f"setting '{name}'", cfg)
            for name, cfg in (settings or {}).items()
        }
        self.task_schedule = None
        if task_weight is not None:
            self.task_schedule = parse_schedule('task_weight', task_weight)
        elif not self.schedules and not self.settings:
            raise ValueError('TermWeightHook: give terms=, task_weight= or settings=')
        self._losses: dict[str, tuple[Any, float]] = {}
        self._task: tuple[Any, float] | None = None
        self._owners: dict[str, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Find what has the weights, and keep those that were configured."""
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'TermWeightHook: this training loop counts iterations, not epochs: '
                'give by_epoch=False, and begin and end in iterations'
            )
        if self._losses or self._task or self._owners:  # as they were at first
            return
        model = runner.model
        while is_model_wrapper(model):
            model = model.module
        if not getattr(model, 'terms', True):
            return  # terms=None: the student alone
        losses = {name: term.loss for name, term in getattr(model, 'terms', {}).items()}
        weighted = [name for name in losses if hasattr(losses[name], 'loss_weight')]
        unfit = [name for name in self.schedules if name not in weighted]
        if unfit:
            raise ValueError(
                f'TermWeightHook: {unfit} are no terms whose loss has a loss_weight; '
                f'of the terms {list(losses)}, these have: {weighted}'
            )
        for name in self.settings:
            term, _, attribute = name.partition('.')
            number = getattr(losses.get(term), attribute, None)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise ValueError(
                    f"TermWeightHook: '{name}' is no number of a term's loss; the "
                    f'terms are {list(losses)}, and a setting is named '
                    '<term>.<attribute>'
                )
            self._owners[name] = losses[term]
        if self.task_schedule is not None:
            if not hasattr(model, 'task_weight'):
                raise ValueError(
                    f'TermWeightHook: {type(model).__name__} has no task_weight, '
                    'which is of ViTKDDistiller'
                )
            self._task = (model, model.task_weight)
        self._losses = {
            name: (losses[name], losses[name].loss_weight) for name in self.schedules
        }

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set the weights of this iteration."""
        progress = runner.iter
        if self.by_epoch:
            progress /= len(runner.train_dataloader)
        for name, (loss, weight) in self._losses.items():
            factor = self.schedules[name].factor(progress)
            loss.loss_weight = weight * factor
            runner.message_hub.update_scalar(f'train/weight_{name}', factor)
        for name, loss in self._owners.items():
            term, _, attribute = name.partition('.')
            value = self.settings[name].factor(progress)
            setattr(loss, attribute, value)
            runner.message_hub.update_scalar(f'train/{attribute}_{term}', value)
        if self._task is not None and self.task_schedule is not None:
            model, weight = self._task
            model.task_weight = weight * self.task_schedule.factor(progress)
            runner.message_hub.update_scalar('train/task_weight', model.task_weight)
