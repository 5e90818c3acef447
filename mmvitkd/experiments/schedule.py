"""Carry runs out: several at a time, each once, each after its teachers."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, Protocol

import mmengine.device.utils
import torch

from mmvitkd.heartbeat import describing

from .fork import FORK
from .run import Run
from .worker import Test, test_classifier, work

POLL = 0.2  # seconds between two looks at the runs in hand


class Job(Protocol):
    """A run in hand."""

    def is_done(self) -> bool:
        """Tell whether it has ended, however."""

    def reason(self) -> str:
        """Tell how it ended, should it have left neither result nor failure."""

    def stop(self) -> None:
        """End it with this call, which the next one goes on from."""

    def cancel(self) -> None:
        """End it for good."""


class Launcher(Protocol):
    """What runs are done by."""

    def free(self) -> int:
        """Count the runs that may begin now."""

    def start(self, runs: Sequence[Run], test: Test) -> list[Job]:
        """Begin runs, as many as are free at most."""


def visible_gpus() -> tuple[str, ...]:
    """List the ids of the GPUs that this process may use; CUDA is not started."""
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is None:
        return tuple(map(str, range(torch.cuda.device_count())))
    return tuple(filter(None, named.split(',')))[: torch.cuda.device_count()]


class Local:
    """Runs in forks of this process, each on GPUs of its own or on the CPU.

    Args:
        gpus: Of each run; 0 for the CPU.
        jobs: How many runs at a time.
        visible: The ids of all GPUs that may be used, as ``CUDA_VISIBLE_DEVICES`` has
            them; at least ``gpus * jobs``. Defaults to none.
    """

    def __init__(self, gpus: int, jobs: int, visible: Sequence[str] = ()) -> None:
        self.gpus = gpus
        self.slots = [tuple(visible[i * gpus : (i + 1) * gpus]) for i in range(jobs)]
        self.jobs: list[_Fork] = []

    def free(self) -> int:
        return len(self._free_slots())

    def start(self, runs: Sequence[Run], test: Test) -> list[Job]:
        _import_once()
        new = [
            _Fork(run, self.gpus, slot, test)
            for run, slot in zip(runs, self._free_slots(), strict=False)
        ]
        self.jobs += new
        return [*new]

    def _free_slots(self) -> list[tuple[str, ...]]:
        free = list(self.slots)
        for job in self.jobs:
            if not job.is_done():
                free.remove(job.slot)
        return free


def _import_once() -> None:
    """Import what every run needs here, and not in its process; some of it prints."""
    with redirect_stdout(io.StringIO()):
        import mmvitkd.engine.testing
        import mmvitkd.engine.training  # noqa: F401


class _Fork:
    def __init__(self, run: Run, gpus: int, slot: tuple[str, ...], test: Test) -> None:
        self.slot = slot
        self.process = FORK.Process(target=_child, args=(run, gpus, slot, test))
        self.process.start()

    def is_done(self) -> bool:
        return not self.process.is_alive()

    def reason(self) -> str:
        return f'its process ended with code {self.process.exitcode}'

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()

    def cancel(self) -> None:
        self.stop()


def _child(run: Run, gpus: int, slot: tuple[str, ...], test: Test) -> None:
    """Work in this process, whose output goes to the run's folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ['CUDA_VISIBLE_DEVICES'] = ','.join(slot)
    if not gpus:  # MMEngine would take one that it saw when it was imported
        mmengine.device.utils.DEVICE = 'cpu'
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / 'console.log', 'a', encoding='utf-8') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    work(run, gpus, test)
    os._exit(0)


def _end_with(parent: Any) -> None:
    """End this process when its parent was killed: no one is left to end it."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


class Watcher:
    """Is told how the runs go, and may change what is run; this one does nothing."""

    def more(self) -> Sequence[Run]:
        """Return runs to do beside those that are waiting or in hand."""
        return ()

    def unwanted(self) -> Sequence[Run]:
        """Return runs in hand to end for good."""
        return ()

    def at(self, active: Sequence[Run]) -> None:
        """Be told, now and then, which runs are in hand."""

    def ended(self, run: Run, left: Sequence[Run]) -> None:
        """Be told that a run has ended, and which are left."""

    def line(self, active: Sequence[Run]) -> str:
        """Sum up how far the runs are; by default which are in hand."""
        return ', '.join(f'{run.name} {run.progress():.0%}' for run in active)


def run_all(
    runs: Sequence[Run],
    launcher: Launcher,
    watcher: Watcher | None = None,
    test: Test = test_classifier,
) -> None:
    """Carry out what is not finished.

    A run that is killed or fails does not stop the others; those that need it as
    their teacher are left out.

    Args:
        runs: In their order of preference, teachers included.
        launcher: What they are done by.
        watcher: Is told how they go, and may add and end some. Defaults to None.
        test: Called in a run's process when it is trained, with the run and its GPUs;
            returns what it measures. Defaults to the test of a classifier.
    """
    watcher = watcher or Watcher()
    waiting = _to_do(runs)
    active: dict[Run, Job] = {}
    try:
        with describing(lambda: watcher.line(list(active))):
            _carry_out(waiting, active, launcher, watcher, test)
    finally:
        for job in active.values():
            job.stop()


def _carry_out(
    waiting: list[Run],
    active: dict[Run, Job],
    launcher: Launcher,
    watcher: Watcher,
    test: Test,
) -> None:
    """Start runs, and look after them, until none is left."""
    while True:
        waiting += _to_do(watcher.more())
        if not waiting and not active:
            break
        ready = [run for run in waiting if run.is_ready()][: launcher.free()]
        waiting = [run for run in waiting if run not in ready]
        active.update(zip(ready, launcher.start(ready, test), strict=True))
        for run in [run for run in active if active[run].is_done()]:
            job = active.pop(run)
            if not run.result() and not run.failure():
                run.fail(job.reason())
            watcher.ended(run, [*waiting, *active])
        for run in [run for run in waiting if _lacks_teacher(run)]:
            waiting.remove(run)
            watcher.ended(run, [*waiting, *active])
        watcher.at(list(active))
        for run in watcher.unwanted():
            active.pop(run).cancel()
        if active:
            time.sleep(POLL)


def _to_do(runs: Sequence[Run]) -> list[Run]:
    """List those that are not finished, to be tried again."""
    left = [run for run in runs if not run.result()]
    for run in left:
        run.forget_failure()
    return left


def _lacks_teacher(run: Run) -> bool:
    return any(teacher.failure() for teacher in run.teachers.values())
