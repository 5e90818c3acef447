"""Time and memory of the variants, in rounds that run a step of each."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from unittest import mock
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmvitkd.models.classifiers.teacher import natural_input_size
from mmvitkd.utils.blocks import input_channels
from mmvitkd.utils.cli import complete_dataloader, unwrap
from mmvitkd.utils.costs import count_parameters

from ..fork import reason
from ..timing import time_rounds, training_runner
from .variants import Variant

SECTIONS = ('data', 'student', 'teacher', 'terms', 'backward', 'optimiser')
MEMORY_STEPS = 3
SPLIT_ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """What a table is made of: a config with a batch."""

    cfg: Config  # a distiller's
    batch_size: int  # images of a step of one process
    image_size: int | None  # height and width; None: what the student was made for
    real_data: bool  # take the batch from the config's training set
    rounds: int  # how many count
    warm_up: int  # how many before do not
    threads: int  # of torch, in each process, on the CPU
    cpu_time: bool  # count the process's CPU seconds, not the clock's
    folder: Path  # for what is thrown away afterwards

    @property
    def clock(self) -> Callable[[], float]:
        return process_time if self.cpu_time else perf_counter


@lru_cache
def is_cuda() -> bool:
    return get_device() == 'cuda'


def _sync() -> None:
    if is_cuda():
        torch.cuda.synchronize()


def draw_batch(case: Case, runner: Runner) -> dict[str, Any]:
    """Return a batch as a data loader gives it: one that is drawn, or a real one."""
    complete_dataloader(runner.cfg, 'train_dataloader', pin_memory=True, persist=False)
    loader = {**runner.cfg.train_dataloader, 'batch_size': case.batch_size}
    if not case.real_data:
        loader = {
            **{key: loader[key] for key in ('batch_size', 'collate_fn', 'pin_memory')},
            'dataset': _draw_images(case, runner),
            'sampler': {'type': 'mmengine.DefaultSampler', 'shuffle': False},
            'num_workers': 0,
        }
    return next(iter(runner.build_dataloader(loader)))


def _draw_images(case: Case, runner: Runner) -> list[dict[str, Any]]:
    """Draw as many images as a batch has."""
    model: Any = unwrap(runner.model)
    size = case.image_size or natural_input_size(model.student) or (224, 224)
    height, width = (size, size) if isinstance(size, int) else size
    draw = torch.Generator().manual_seed(0)
    channels = input_channels(model.student) or 3
    shape = (case.batch_size, channels, height, width)
    images = torch.randint(256, shape, generator=draw, dtype=torch.uint8)
    # two classes, since every data set has as many
    return [
        {'inputs': image, 'data_samples': DataSample().set_gt_label(i % 2)}
        for i, image in enumerate(images)
    ]


class Loop:
    """One variant, built by MMEngine's runner, a step at a time.

    Args:
        variant: Which.
        case: Of what.
        launcher: As of ``tools/train.py``. Defaults to ``'none'``.

    Raises:
        ValueError: If the variant does not apply to the config.
    """

    def __init__(self, variant: Variant, case: Case, launcher: str = 'none') -> None:
        cfg = variant.config(case.cfg)
        if cfg is None:
            raise ValueError('does not apply')
        cfg.launcher = launcher
        self.runner = training_runner(cfg, case.folder, bool(case.image_size))
        self.model: Any = unwrap(self.runner.model)
        self.clock = case.clock
        self.batch = draw_batch(case, self.runner)
        self.step = self.train if variant.trains else self.teach
        with self.optim_wrapper.optim_context(self.model):
            preprocess: Any = self.model.data_preprocessor
            self.inputs = preprocess(self.batch, training=True)['inputs']
            if variant.finish is not None:
                variant.finish(self, case.folder / uuid4().hex)

    @property
    def optim_wrapper(self) -> Any:
        return self.runner.optim_wrapper

    def train(self) -> None:
        """Train for one step."""
        self.runner.model.train_step(self.batch, self.optim_wrapper)
        _sync()

    @torch.no_grad()
    def teach(self) -> None:
        """Run the teachers, as models without taps, on the preprocessed images."""
        with self.optim_wrapper.optim_context(self.model):
            for teacher in self.model.teachers.values():
                teacher.model(
                    teacher.prepare(self.inputs, self.model.data_preprocessor)
                )
        _sync()


def time_split(loop: Loop) -> dict[str, float]:
    """Run a training step and return the seconds of each of its parts."""
    seconds = dict.fromkeys(SECTIONS, 0.0)
    with _sections(loop, seconds):
        start = loop.clock()
        loop.step()
        whole = loop.clock() - start
    seconds['student'] -= seconds['teacher'] + seconds['terms']  # of the whole loss
    return {**seconds, 'other': whole - sum(seconds.values())}


@contextmanager
def _sections(loop: Loop, seconds: dict[str, float]) -> Iterator[None]:
    """Put clocks around the parts of a step."""

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            _sync()
            start = loop.clock()
            try:
                return function(*args, **kwargs)
            finally:
                _sync()
                seconds[name] += loop.clock() - start

        return call

    model, wrapper = loop.model, loop.optim_wrapper
    clocks = [
        ('data', model.data_preprocessor, 'forward'),
        ('student', model, 'loss'),
        *(('terms', term, 'forward') for term in model.terms.values()),
        ('backward', wrapper, 'backward'),
        ('optimiser', wrapper, 'step'),
        ('optimiser', wrapper, 'zero_grad'),
    ]
    # a call by parentheses is looked up at the class
    kinds = {type(teacher) for teacher in model.teachers.values()}
    clocks += [('teacher', kind, '__call__') for kind in kinds]
    with ExitStack() as patches:
        for name, owner, method in clocks:
            call = timed(name, getattr(owner, method))
            patches.enter_context(mock.patch.object(owner, method, call))
        yield


def time_variants(variants: list[Variant], case: Case) -> dict[str, Any]:
    """Time the variants of a case side by side, then the parts of each.

    Returns:
        ``times``, seconds of every counted step; ``split``, those of the parts;
        ``left_out``, why a variant did not run; and ``teacher_parameters``, the most
        that a variant's teachers have together.
    """
    loops, left_out = {}, {}
    for variant in variants:
        try:
            loop = Loop(variant, case)
            loop.step()
        except (ValueError, TypeError, RuntimeError) as error:
            left_out[variant.name] = reason(error)
            continue
        loops[variant.name] = loop
    steps = {name: loop.step for name, loop in loops.items()}
    times = time_rounds(steps, case.rounds, case.warm_up, case.clock)
    training = {v.name: loops[v.name] for v in variants if v.trains and v.name in loops}
    split: dict[str, dict[str, list[float]]] = {name: {} for name in training}
    for _ in range(min(SPLIT_ROUNDS, case.rounds)):
        for name, loop in training.items():
            for part, seconds in time_split(loop).items():
                split[name].setdefault(part, []).append(seconds)
    return {
        'times': times,
        'split': split,
        'left_out': left_out,
        'teacher_parameters': max(map(_teacher_parameters, loops.values()), default=0),
    }


def _teacher_parameters(loop: Loop) -> int:
    models = (teacher.model for teacher in loop.model.teachers.values())
    return sum(count_parameters(model) for model in models if model is not None)


def peak_memory(variant: Variant, case: Case) -> dict[str, int]:
    """Return the bytes that some steps of a variant need at their peak.

    For a process of its own. On the CPU it is what that holds beyond the imports.
    ``teacher`` are the bytes of its weights.
    """
    before = 0 if is_cuda() else max_rss()
    loop = Loop(variant, case)
    for _ in range(MEMORY_STEPS):
        loop.step()
    peak = torch.cuda.max_memory_allocated() if is_cuda() else max_rss()
    teachers = loop.model.teachers.values()
    models = [t.model for t in teachers if t.model is not None]
    weights = [tensor for model in models for tensor in model.state_dict().values()]
    return {
        'peak': peak - before,
        'teacher': sum(tensor.numel() * tensor.element_size() for tensor in weights),
    }


def max_rss() -> int:
    """Return the most bytes that this process held; just forked, what it holds."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
