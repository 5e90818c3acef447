import math
import os
from time import perf_counter
from typing import Any

from mmengine.hooks import Hook

from mmvitkd.registry import HOOKS

FIRST = 20  # steps in which a loader's workers and a GPU's queue fill


@HOOKS.register_module()
class DataWaitHook(Hook):
    """Warn, once, of a training that waits for its data.

    The time between two steps is what the next batch is waited for; validation,
    checkpoints, the first 20 steps of a run and the first one of an epoch do not
    count. On GPUs, whose work is queued, a loader that keeps up is not waited for.

    Args:
        share: Of the time, above which it warns. Defaults to 0.1.
        interval: Steps that are looked at together. Defaults to 50.
        least: Seconds that the whole run would wait, below which nothing is said.
            Defaults to 60.

    Raises:
        ValueError: If ``share`` is not between 0 and 1, or ``interval`` below 1.
    """

    priority = 'LOWEST'  # behind what is done between steps, such as checkpoints

    def __init__(
        self, share: float = 0.1, interval: int = 50, least: float = 60.0
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f'share={share}: must be between 0 and 1')
        if interval < 1:
            raise ValueError(f'interval={interval}: must be at least 1')
        self.share = share
        self.interval = interval
        self.least = least
        self._ended: float | None = None
        self._began = self._waited = self._worked = 0.0
        self._seen = self._counted = 0

    def before_train_epoch(self, runner: Any) -> None:
        """Leave out what starts a loader's workers."""
        self._ended = None

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Leave out the validation between two steps."""
        self._ended = None

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Add what the batch was waited for."""
        self._began = perf_counter()
        if self._ended is not None and self._seen >= FIRST:
            self._waited += self._began - self._ended
            self._counted += 1

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Add the step, and warn if it is time to."""
        now = perf_counter()
        if self._ended is not None and self._seen >= FIRST:
            self._worked += now - self._began
        self._ended = now
        self._seen += 1
        if self._counted >= self.interval:
            self._look(runner)
            self._waited, self._worked, self._counted = 0.0, 0.0, 0

    def _look(self, runner: Any) -> None:
        whole = self._waited + self._worked
        wait = self._waited / self._counted
        # also when it was said already, when `least` is infinite
        if self._waited <= self.share * whole or wait * runner.max_iters < self.least:
            return
        runner.logger.warning(
            f'The training waits for its data: {1000 * wait:.0f} of '
            f'{1000 * whole / self._counted:.0f} ms a step in the last '
            f'{self._counted} steps, {self._waited / whole:.0%}. '
            f'{_advice(runner, whole / self._worked)} `python -m mmvitkd benchmark '
            'data CONFIG` tells what takes the time, and `train --fast-data` makes '
            'it less.'
        )
        self.least = math.inf  # once is enough


def _advice(runner: Any, factor: float) -> str:
    """Say how many workers would keep up, and how many cores there are."""
    workers = getattr(runner.train_dataloader, 'num_workers', 0)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else None
    cores = cores or os.cpu_count() or 1
    have = f'there are {cores} cores for all processes of this machine'
    if not workers:
        return (
            'This process makes its images itself: set train_dataloader.num_workers '
            f'({have}).'
        )
    wanted = math.ceil(workers * factor)
    return f'Of workers it has {workers}, and {wanted} would keep up ({have}).'
