"""What ``python -m mmvitkd train --try`` does: a few steps of all that a run does."""

import tempfile
import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmvitkd.utils import cli
from mmvitkd.utils.cli import print_rank0
from mmvitkd.utils.console import brief_console
from mmvitkd.utils.export import export_student

from .hooks import OverviewHook

STEPS = 3  # of training, validation and test each


def try_out(cfg: Config) -> None:
    """Train, validate, save, export and test for a few steps, and keep nothing.

    The schedule is the config's own; only the loops end early.

    Args:
        cfg: Of the run, with all its hooks.
    """
    whole = cfg
    cfg = deepcopy(cfg)
    if cfg.get('resume'):  # which takes no trial
        cfg.resume, cfg.load_from = False, None
    monitor = cfg.default_hooks.get('monitor')
    if monitor:
        monitor['interval'] = 1
    visualizer = cfg.get('visualizer')
    if visualizer:  # a trial is none of a tracking service's runs
        visualizer['vis_backends'] = [{'type': 'LocalVisBackend'}]
    with tempfile.TemporaryDirectory(prefix='mmvitkd-try-') as folder:
        cfg.work_dir = folder
        with brief_console():
            runner = cli.build_runner(cfg)
        trial = TrialHook()
        runner.register_hook(OverviewHook())
        runner.register_hook(trial)
        runner.train()
        file = next(iter(sorted(Path(folder).glob('*_*.pth'))), None)
        done = [f'{STEPS} steps of training']
        if runner.val_loop is not None:
            done.append('validation')
        if file is not None:
            done.append(f'a checkpoint of {file.stat().st_size / 1e6:.1f} MB')
            if 'student' in cfg.model and is_main_process():
                config = Path(folder) / 'whole.py'
                whole.dump(config)
                export_student(file, Path(folder) / 'student.pth', config=config)
                done.append('its export')
        if cfg.get('test_dataloader') is not None:
            runner.test()
            done.append('test')
    print_rank0([f'tried: {", ".join(done)}; nothing was kept. {trial.outlook()}'])


class First:
    """The first batches of a data loader.

    Args:
        loader: The whole one, whose other attributes it has.
        count: How many batches.
    """

    def __init__(self, loader: Any, count: int) -> None:
        self.loader = loader
        self.count = min(count, len(loader))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self.loader), self.count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['loader'], name)


class TrialHook(Hook):
    """End every loop after a few steps, and take the time."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.times: list[float] = []
        self.steps = 0

    def before_train(self, runner: Any) -> None:
        """Shorten training and validation, when all is built for the whole run."""
        loop = runner.train_loop
        self.steps = loop.max_iters
        loop.dataloader = First(loop.dataloader, STEPS)
        loop._max_iters, loop.val_begin = len(loop.dataloader), 1
        loop.val_interval = len(loop.dataloader)
        if hasattr(loop, '_max_epochs'):
            loop._max_epochs = loop.val_interval = 1
        if runner.val_loop is not None:
            runner.val_loop.dataloader = First(runner.val_loop.dataloader, STEPS)

    def before_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Take the time."""
        self.times.append(time.perf_counter())

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Take the time."""
        self.times[-1] = time.perf_counter() - self.times[-1]

    def before_test(self, runner: Any) -> None:
        """Shorten the test."""
        runner.test_loop.dataloader = First(runner.test_loop.dataloader, STEPS)

    def outlook(self) -> str:
        """Tell how long a whole run takes, by the steps after the first."""
        step = min(self.times[1:] or self.times)
        hours = self.steps * step / 3600
        text = f'{hours:.1f} hours' if hours >= 1 else f'{60 * hours:.0f} minutes'
        return (
            f'A step took {step:.2f} s, and a whole run has {self.steps:,}: about '
            f'{text}, besides loading images and validating'
        )
