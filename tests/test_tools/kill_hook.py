"""What a test puts into a run, to end it where no one expects it."""

import os
import signal
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook, Hook

from mmvitkd.registry import HOOKS, TRANSFORMS
from mmvitkd.utils.cli import unwrap


class Interrupted(Exception):
    """Ends a run in this process, as a kill would another."""


@HOOKS.register_module()
class AnothersCheckpointHook(CheckpointHook):
    """One that no tool replaces by ours."""


@HOOKS.register_module()
class KillHook(Hook):
    """End the run before the iteration that the environment names."""

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if os.environ.get('KILL_BEFORE_ITER') == str(runner.iter):
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get('RAISE_BEFORE_ITER') == str(runner.iter):
            workers = runner.train_dataloader._iterator
            if workers is not None:  # else some later test would wait for their end
                workers._shutdown_workers()
            raise Interrupted

    def after_val_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if os.environ.get('KILL_IN_VALIDATION') == str(runner.iter):
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class DivergeHook(Hook):
    """Make a weight NaN behind the iteration that the environment names."""

    priority = 'LOW'  # behind the averaging of weights

    def __init__(self, averaged: bool = False) -> None:
        self.averaged = averaged

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if os.environ.get('DIVERGE_AT_ITER') != str(runner.iter):
            return
        model = unwrap(runner.model)
        if self.averaged:
            (hook,) = (h for h in runner.hooks if isinstance(h, EMAHook))
            model = hook.ema_model.module
        model.student.backbone.ln1.weight.data[0] = float('nan')


@TRANSFORMS.register_module()
class KillTransform:
    """End the process at the image that the environment names, counted as they come."""

    seen = 0

    def __call__(self, results: dict) -> dict:
        type(self).seen += 1
        if os.environ.get('KILL_AT_IMAGE') == str(type(self).seen):
            os.kill(os.getpid(), signal.SIGKILL)
        return results
