"""What a run is: a config, a seed, the runs that make its teachers, and a folder."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmvitkd.utils.types import name_of

RESULT = 'result.json'  # in a run's folder, once it is finished


@dataclass(frozen=True, eq=False)
class Setting:
    """A training that differs from others in more than its seed.

    Two of them with the same config, also of two tables, are one setting.
    """

    name: str  # for people
    cfg: Config  # the whole config, without seed and folder
    # the trainings that must be finished before, by their teachers' names in the
    # config, the only one as 'teacher'
    teachers: Mapping[str, Setting] = field(default_factory=dict)
    own_teachers: bool = False  # of a run's own seed; else all share seed 0's
    stem: str = ''  # the folder's name begins with it; else with the name
    depends_on: str = ''  # what else its result depends on, as a digest of the code
    # of its teachers' outputs, which it trains from; 0: its teachers run
    stored_epochs: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @cached_property
    def key(self) -> str:
        """Identify the setting by everything that its result depends on."""
        keys = {name: one.key for name, one in self.teachers.items()}
        teachers = keys['teacher'] if [*keys] == ['teacher'] else keys or None
        own = self.own_teachers and teachers is not None
        others = filter(None, [self.depends_on, self.stored_epochs])
        parts = [self.cfg.to_dict(), teachers, own, *others]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @cached_property
    def folder(self) -> str:
        """Name its folder, below that of the data set."""
        slug = re.sub(r'[^\w.+-]+', '-', self.stem or self.name).strip('-')[:80]
        return f'{slug}-{self.key}'


@dataclass(frozen=True)
class Run:
    """One setting at one seed, in a folder of its own."""

    setting: Setting
    seed: int
    root: Path

    @property
    def name(self) -> str:
        """Name it for people."""
        return f'{self.setting.name}, seed {self.seed}'

    @property
    def folder(self) -> Path:
        """Where all that it writes goes."""
        return self.root / self.setting.folder / f'seed{self.seed}'

    @property
    def teachers(self) -> dict[str, Run]:
        """Return the runs that must be finished before, by name."""
        seed = self.seed if self.setting.own_teachers else 0
        named = self.setting.teachers.items()
        return {name: Run(one, seed, self.root) for name, one in named}

    @property
    def length(self) -> tuple[str, int]:
        """Return the unit of its training, ``'iter'`` or ``'epoch'``, and how many."""
        loop = self.setting.cfg.train_cfg
        unit = 'iter' if 'max_iters' in loop else 'epoch'
        return unit, loop[f'max_{unit}s']

    @property
    def checkpoint(self) -> Path:
        """Name the file that the run ends with."""
        unit, count = self.length
        return self.folder / f'{unit}_{count}.pth'

    def config(self) -> Config:
        """Complete the config by seed and teachers."""
        cfg = deepcopy(self.setting.cfg)
        cfg.merge_from_dict({'randomness.seed': self.seed})
        for name, teacher in self.teachers.items():
            teachers_of(cfg.model)[name].checkpoint = str(teacher.checkpoint)
        return cfg

    def result(self) -> dict[str, Any] | None:
        """Return what it measured, with date, device and versions; None before."""
        file = self.folder / RESULT
        return json.loads(file.read_text()) if file.is_file() else None

    def keep(self, result: dict[str, Any]) -> None:
        """Keep what it measured: it is finished then."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f'{RESULT}.part'
        part.write_text(json.dumps(result, indent=1))
        part.rename(self.folder / RESULT)

    def failure(self) -> str | None:
        """Return why it did not finish when it was last tried, or None."""
        for teacher in self.teachers.values():
            if reason := teacher.failure():
                return f'its teacher failed: {reason}'
        file = self.folder / 'failure.txt'
        return file.read_text().strip() if file.is_file() else None

    def fail(self, reason: str) -> None:
        """Keep why it failed, as one line: it goes into a cell of a table."""
        self.folder.mkdir(parents=True, exist_ok=True)
        line = textwrap.shorten(reason, 300, placeholder=' ...')
        (self.folder / 'failure.txt').write_text(f'{line}\n')

    def forget_failure(self) -> None:
        """Forget why it failed, to try it again."""
        (self.folder / 'failure.txt').unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether all of its teachers are trained."""
        return all(teacher.result() for teacher in self.teachers.values())

    def state(self) -> str:
        """Say how far it is: ``'done'``, ``'failed'``, ``'begun'`` or ``'new'``."""
        if self.result():
            return 'done'
        if self.failure():
            return 'failed'
        return 'begun' if any(self.folder.glob('*.pth')) else 'new'

    def validations(self, metric: str) -> dict[int, float]:
        """Return what its validations measured, by epoch, or iteration, by its log."""
        found = {}
        for log in sorted(self.folder.glob('*/vis_data/scalars.json')):
            for line in log.read_bytes().splitlines():
                if metric.encode() not in line:
                    continue
                try:
                    values = json.loads(line)
                    found[int(values['step'])] = float(values[metric])
                except (ValueError, KeyError, TypeError):  # cut off
                    continue
        return found

    def progress(self) -> float:
        """Return the share of its training that is done, by its log."""
        unit, count = self.length
        logs = sorted(self.folder.glob('*/vis_data/scalars.json'))
        for line in reversed(_last_lines(logs[-1]) if logs else []):
            try:
                return min(json.loads(line)[unit] / count, 1.0)
            except (ValueError, KeyError, TypeError):  # of a validation, or cut off
                continue
        return 0.0


def _last_lines(file: Path, size: int = 4096) -> list[bytes]:
    with file.open('rb') as log:
        log.seek(max(file.stat().st_size - size, 0))
        return log.read().splitlines()


def teachers_of(model: ConfigDict) -> dict[str, ConfigDict]:
    """Return a distiller's teachers by name, the only one as ``'teacher'``."""
    one = model.get('teacher')
    return {'teacher': one} if one else model.get('teachers') or {}


def cut(cfg: Config, max_epochs: int | None) -> Config:
    """Cut a training to so many epochs, to try the machinery; None leaves it whole.

    Raises:
        ValueError: If it counts no epochs.
    """
    loop = cfg.train_cfg
    if 'max_epochs' in loop:
        loop.max_epochs = min(loop.max_epochs, max_epochs or loop.max_epochs)
        loop.val_interval = min(loop.get('val_interval', 1), loop.max_epochs)
    elif max_epochs:
        raise ValueError(f'--max-epochs cannot cut train_cfg={dict(loop)}')
    return cfg


def use_validation_split(cfg: Config) -> None:
    """Let a training be tested on its validation split, and not know the test's.

    Nothing is chosen by corrupted images: a hook that tests on them is left out.
    """
    cfg.test_dataloader = deepcopy(cfg.val_dataloader)
    cfg.test_evaluator = deepcopy(cfg.val_evaluator)
    hooks = cfg.get('default_hooks') or {}
    for name, hook in [*hooks.items()]:
        if hook and name_of(hook.get('type')) == 'CorruptionHook':
            del hooks[name]


def in_order(runs: Iterable[Run]) -> list[Run]:
    """List every run once, each after all that make its teachers."""
    found: dict[Run, None] = {}

    def add(run: Run) -> None:
        for teacher in run.teachers.values():
            add(teacher)
        found.setdefault(run)

    for run in runs:
        add(run)
    return list(found)
