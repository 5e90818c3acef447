"""How long training steps take, and so how long runs will."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import median, quantiles
from time import monotonic, perf_counter, process_time
from typing import NamedTuple
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from mmvitkd.engine import ActivationCheckpointingHook
from mmvitkd.registry import DATASETS, SCOPE
from mmvitkd.utils.cli import build_runner, random_teachers, unwrap
from mmvitkd.utils.hooks import complete_hooks
from mmvitkd.utils.optimizer import merge_groups

from .fork import apart
from .run import Run, Setting

ROUNDS = 5  # steps that an estimate is made from


class Estimate(NamedTuple):
    """About how many seconds a training takes: its start, a step, the whole run."""

    start: float
    step: float
    run: float


def estimate(setting: Setting, gpus: int) -> Estimate | str:
    """Time the start and the first steps of a training, or say why that fails."""
    # of CPUs, so that other work on the machine does not count
    clock = perf_counter if gpus else process_time
    try:
        # the first step also builds models and data
        config = Run(setting, 0, Path()).config()
        start, _, *steps = step_times({'': config}, ROUNDS + 1, 0, clock)['']
    except ValueError as error:
        return str(error).splitlines()[0][:200]
    count = steps_of(setting, gpus)
    if count is None:
        return 'its data set could not be counted'
    step = median(steps)
    # the test starts once more
    return Estimate(start, step, 2 * start + step * count)


def estimate_all(settings: Iterable[Setting], gpus: int) -> dict[str, Estimate | str]:
    """Estimate settings, once for each student, teachers and data.

    Returns:
        By the folders of the settings.
    """
    by_kind: dict[str, Estimate | str] = {}
    found = {}
    for setting in dict.fromkeys(settings):
        kind = _kind(setting)
        if kind not in by_kind:
            by_kind[kind] = estimate(setting, gpus)
        found[setting.folder] = by_kind[kind]
    return found


def _kind(setting: Setting) -> str:
    """Tell apart what the time of a training mostly depends on."""
    cfg = setting.cfg.to_dict()
    model = cfg['model']
    parts = [model.get(key) for key in ('student', 'teacher', 'teachers')]
    loops = [cfg.get(key) for key in ('train_cfg', 'train_dataloader')]
    return json.dumps([parts if 'student' in model else model, loops], sort_keys=True)


def steps_of(setting: Setting, gpus: int) -> int | None:
    """Count the training steps; None if the data set can't be counted."""
    loop = setting.cfg.train_cfg
    if 'max_iters' in loop:
        return loop.max_iters
    per_epoch = epoch_steps(setting, gpus)
    return per_epoch and loop.max_epochs * per_epoch


def epoch_steps(setting: Setting, gpus: int = 1) -> int | None:
    """Count the steps of an epoch; None if the data set can't be counted."""
    loader = setting.cfg.train_dataloader
    images = _count_images(json.dumps(loader.dataset, sort_keys=True))
    return images and -(-images // (loader.batch_size * max(gpus, 1)))


@lru_cache
def _count_images(dataset: str) -> int | None:
    """Count the images of a data set, its config given as JSON."""
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            return len(DATASETS.build(json.loads(dataset)))
    except Exception:  # whatever a missing data set raises
        return None


def duration(seconds: float) -> str:
    """Write a duration in the unit that suits it."""
    for unit, size in (('days', 86400), ('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'


def step_times(
    configs: dict[str, Config],
    steps: int,
    warm_up: int = 2,
    clock: Callable[[], float] = monotonic,
) -> dict[str, list[float]]:
    """Time training steps side by side: every round runs a step of each.

    The teachers' weights are random ones, which take as long.

    Args:
        configs: By name; each of a whole training.
        steps: How many rounds count.
        warm_up: How many rounds before do not.
        clock: Tells the time. Defaults to that on the wall.

    Returns:
        Seconds of every counted step, by name.

    Raises:
        ValueError: If it fails, e.g. as the data set is not there.
    """
    return apart(1, _time_steps, configs, steps, warm_up, clock)


def _time_steps(
    configs: dict[str, Config], steps: int, warm_up: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Time steps in this process, in silence."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        loops = {name: _steps(cfg, Path(folder)) for name, cfg in configs.items()}
        each = {name: loop.__next__ for name, loop in loops.items()}
        return time_rounds(each, steps, warm_up, clock)


def _steps(cfg: Config, folder: Path) -> Iterator[None]:
    """Train for ever, a step at a time."""
    cfg.launcher = 'none'
    runner = training_runner(cfg, folder)
    loader = runner.build_dataloader(cfg.train_dataloader)
    while True:
        for batch in loader:
            runner.model.train_step(batch, runner.optim_wrapper)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            yield


def time_rounds(
    loops: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Run a step of each in every round, in an order that goes round, too.

    Returns:
        Seconds of every counted step, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in loops}
    names = list(loops)
    for number in range(warm_up + rounds):
        for name in names:
            start = clock()
            loops[name]()
            if number >= warm_up:
                times[name].append(clock() - start)
        names = names[1:] + names[:1]
    return times


def relative(
    times: Mapping[str, Sequence[float]], reference: str
) -> dict[str, list[float]]:
    """Compare steps with the reference's of the same round, so that drift cancels.

    Returns:
        The quotients' quartiles, the median in the middle, by name.
    """
    found = {}
    for name, mine in times.items():
        pairs = zip(mine, times[reference], strict=True)
        found[name] = quantiles([a / b for a, b in pairs], n=4)
    return found


def training_runner(cfg: Config, folder: Path, same_size: bool = False) -> Runner:
    """Build a runner and what its ``train()`` would, with random teachers.

    Args:
        cfg: Is changed.
        folder: For what is thrown away afterwards. Runners share a teacher's file.
        same_size: Show teachers images of the student's size. Defaults to False.
    """
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    cfg.log_level = 'ERROR'
    cfg.experiment_name = uuid4().hex
    cfg.work_dir = str(folder / cfg.experiment_name)
    for teacher in random_teachers(cfg.model):
        # variants and processes share the file of a teacher, not those of another one
        digest = hashlib.sha256(repr(teacher.cfg).encode()).hexdigest()[:16]
        teacher.checkpoint = str(folder / f'{digest}.pth')
        teacher.pop('prefix', None)  # of a checkpoint that holds more than it
        if same_size:
            teacher.input_size = 'same'
    complete_hooks(cfg)
    merge_groups(cfg)
    runner = build_runner(cfg)
    for teacher in getattr(unwrap(runner.model), 'teachers', {}).values():
        if teacher.model is not None and not Path(teacher.checkpoint).is_file():
            file = Path(teacher.checkpoint)
            part = file.with_suffix(f'.{uuid4().hex}')  # of several processes
            torch.save({'state_dict': teacher.model.state_dict()}, part)
            part.rename(file)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    for hook in runner.hooks:
        if isinstance(hook, ActivationCheckpointingHook):
            hook.before_train(runner)
    runner._maybe_compile('train_step')
    runner.model.train()
    return runner
