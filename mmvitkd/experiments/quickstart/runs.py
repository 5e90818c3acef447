"""One training on the digits, as quickstart.py and tune_digits.py run it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import Any

import mmengine.device.utils
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'digits'
TEACHER = CONFIGS / 'digits_teacher.py'
ARMS = {
    'alone': CONFIGS / 'digits_student.py',
    'vitkd': CONFIGS / 'vitkd_digits.py',
    'vitkd-nkd': CONFIGS / 'vitkd-nkd_digits.py',
}


class Watch(Hook):
    """Record the validation accuracies and report every finished epoch.

    Args:
        report: Called with the number of epochs that are done.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report
        self.curve: list[tuple[int, float]] = []

    def after_train_epoch(self, runner: Runner) -> None:
        self.report(runner.epoch + 1)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        # the training loop has already counted the epoch that is validated
        self.curve.append((runner.epoch, (metrics or {})['accuracy/top1']))


def train(
    cfg: Config,
    folder: Path,
    test: bool,
    device: str = 'cpu',
    report: Callable[[int], None] = lambda epoch: None,
) -> dict[str, Any]:
    """Train ``cfg`` in ``folder``; MMEngine's own output goes to its console.log.

    One thread does the work: the tensors are too small to share out, and the
    result then does not depend on the number of cores.

    Args:
        cfg: A config of configs/digits.
        folder: The run's own, made if need be.
        test: Whether to look at the test split, once, at the end.
        device: ``'cpu'`` or ``'cuda'``.
        report: Called with the number of epochs that are done.

    Returns:
        ``curve``, the validation accuracies as ``[epoch, percent]``; ``val``, the
        last of them; ``test``, percent or None; ``seconds``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    mmengine.device.utils.DEVICE = device  # MMEngine would take the best there is
    cfg = cfg.copy()
    cfg.work_dir = str(folder)
    cfg.experiment_name = f'{folder.name}-{os.getpid()}-{perf_counter()}'
    cfg.default_hooks.checkpoint.update(interval=-1)  # the last one is always saved
    watch = Watch(report)
    start = perf_counter()
    with (
        open(folder / 'console.log', 'w', encoding='utf-8') as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(watch)
        runner.train()
        tested = runner.test()['accuracy/top1'] if test else None
    return {
        'curve': watch.curve,
        'val': watch.curve[-1][1],
        'test': tested,
        'seconds': perf_counter() - start,
    }
