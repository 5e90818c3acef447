from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.spelling import is_slip, suggest
from mmvitkd.utils.types import name_of


@HOOKS.register_module()
class OverviewHook(Hook):
    """Say in a few lines, before the first step, what a run is about to do."""

    priority = 'VERY_HIGH'

    def before_train(self, runner: Any) -> None:
        """Log data, schedule, optimiser and where all of it goes."""
        lines = [_data(runner), _schedule(runner), _optimiser(runner), _places(runner)]
        runner.logger.info('\n'.join(['This run:', *(f'  {line}' for line in lines)]))
        for warning in (*_unused_keys(runner), *_late_checkpoints(runner)):
            runner.logger.warning(warning)


def _unused_keys(runner: Any) -> Iterator[str]:
    """Find options for parameters that none of them has in its name, by a slip."""
    wrapper = runner.cfg.get('optim_wrapper') or {}
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    names = [name for name, _ in unwrap(runner.model).named_parameters()]
    parts = {part for name in names for part in name.split('.')}
    for key in keys:
        if any(key in name for name in names):
            continue
        slips = [part for part in key.split('.') if is_slip(part, parts)]
        if slips:
            yield (
                f"optim_wrapper.paramwise_cfg.custom_keys: no parameter has '{key}' in "
                f'its name, so that it does nothing{suggest(slips[0], parts)}'
            )


def _late_checkpoints(runner: Any) -> Iterator[str]:
    """Find checkpoints that go by epochs where training goes by iterations."""
    by_epoch = any(h.by_epoch for h in runner.hooks if isinstance(h, CheckpointHook))
    if by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
        yield (
            'default_hooks.checkpoint goes by epochs, but training by iterations: the '
            'only checkpoint is written at the end; give it by_epoch=False and an '
            'interval in iterations'
        )


def _data(runner: Any) -> str:
    loader = runner.train_dataloader
    processes = get_world_size()
    kind, images = type(loader.dataset).__name__, _length(loader.dataset)
    batch = getattr(loader, 'batch_size', None) or runner.cfg.train_dataloader.get(
        'batch_size', '?'
    )
    each = f' x {processes} processes' if processes > 1 else ''
    text = f'data: {images} training images ({kind}), {batch} a step{each}'
    if runner.val_loop is None:
        return f'{text}; no validation'
    return f'{text}; {_length(runner.val_dataloader.dataset)} validation images'


def _length(dataset: Any) -> str:
    try:
        # of a stream, whose length is this process's part
        return f'{getattr(dataset, "num_samples", len(dataset)):,}'
    except TypeError:  # of one that is iterated
        return 'countless'


def _schedule(runner: Any) -> str:
    loop = runner.train_loop
    text = f'schedule: {loop.max_iters:,} steps'
    if isinstance(loop, EpochBasedTrainLoop):
        text = f'schedule: {loop.max_epochs:,} epochs of {len(loop.dataloader):,} steps'
    given = runner.cfg.get('param_scheduler') or []
    if isinstance(given, list):
        names = [name_of(s.get('type')) for s in given if isinstance(s, dict)]
        text += f'; {", ".join(names)}' if names else '; constant learning rate'
    return text


def _optimiser(runner: Any) -> str:
    """Sum up the groups of parameters, of which a framework would log each."""
    wrapper = runner.optim_wrapper
    groups = getattr(wrapper, 'param_groups', None)
    kind = type(getattr(wrapper, 'optimizer', wrapper)).__name__
    if not isinstance(groups, list):
        return f'optimiser: {kind}'
    rates = {group.get('initial_lr', group['lr']) for group in groups}
    decays = {group.get('weight_decay', 0.0) for group in groups}
    count = sum(p.numel() for group in groups for p in group['params'])
    return (
        f'optimiser: {kind} of {count:,} parameters, learning rate {_range(rates)}, '
        f'weight decay {_range(decays)}'
    )


def _range(values: set[float]) -> str:
    low, high = min(values), max(values)
    return f'{high:g}' if low == high else f'{low:g} to {high:g}'


def _places(runner: Any) -> str:
    folder = Path(runner.log_dir)
    return (
        f"work dir: {runner.work_dir}; environment, config and all else that's logged: "
        f'{folder / f"{folder.name}.log"}'
    )
