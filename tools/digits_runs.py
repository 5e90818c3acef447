"""One training on the digits, as quickstart.py and tune_digits.py run it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

CONFIGS = Path(__file__).resolve().parent.parent / 'configs' / 'digits'
ARMS = {
    'alone': CONFIGS / 'digits_student.py',
    'vitkd': CONFIGS / 'vitkd_digits.py',
    'vitkd-nkd': CONFIGS / 'vitkd-nkd_digits.py',
}
TEACHER = CONFIGS / 'digits_teacher.py'


class Watch(Hook):
    """Record the validation accuracies and report every finished epoch."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report
        self.curve: list[tuple[int, float]] = []

    def after_train_epoch(self, runner: Runner) -> None:
        self.report(runner.epoch + 1)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        # the training loop has counted the epoch that was validated
        self.curve.append((runner.epoch, (metrics or {})['accuracy/top1']))


def train(
    cfg: Config,
    folder: Path,
    test: bool,
    report: Callable[[int], None] = lambda epoch: None,
) -> dict[str, Any]:
    """Train ``cfg`` in ``folder``; MMEngine's own output goes to its console.log.

    One thread does the work: the tensors are too small to share out, and the
    result then does not depend on the number of cores.

    Returns:
        ``curve``, the validation accuracy as ``[epoch, percent]``; ``val``, its
        last value; ``test``, the accuracy on the test split, if asked for;
        ``seconds`` and the last ``checkpoint``, relative to ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cfg = cfg.copy()
    cfg.work_dir = str(folder)
    cfg.experiment_name = f'{folder.name}-{os.getpid()}-{perf_counter()}'
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=True)
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
        'checkpoint': f'epoch_{cfg.train_cfg.max_epochs}.pth',
    }
