"""Data-parallel training by groups of processes that take turns."""

from __future__ import annotations

import os
import socket
from multiprocessing.connection import wait
from typing import Any

import torch

from ..fork import FORK, reason
from ..timing import time_rounds
from .measure import Case, Loop
from .variants import Variant


def time_processes(
    variant: Variant, case: Case, counts: list[int]
) -> dict[int, list[float]]:
    """Time data-parallel steps by several processes, the same batch for each.

    The groups take turns: every round runs a step of each group while the others wait.

    Returns:
        Seconds of every counted step, by the number of processes.

    Raises:
        ValueError: If a process fails.
    """
    groups = {count: _Group(variant, case, count) for count in counts}
    try:
        steps = {str(count): group.step for count, group in groups.items()}
        times = time_rounds(steps, case.rounds, case.warm_up)
    finally:
        for group in groups.values():
            group.end()
    return {int(count): seconds for count, seconds in times.items()}


class _Group:
    """Processes that train a model together, a step at a time."""

    def __init__(self, variant: Variant, case: Case, count: int) -> None:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.members = []
        for rank in range(count):
            here, there = FORK.Pipe()
            env = {
                'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': count,
                'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port,
            }  # fmt: skip
            args = (variant, case, env, there)
            process = FORK.Process(target=_member, args=args, daemon=True)
            process.start()
            there.close()
            self.members.append((process, here))
        self._wait()

    def step(self) -> None:
        for _, pipe in self.members:
            pipe.send('step')
        self._wait()

    def _wait(self) -> None:
        """Wait for all, but for no other once one has failed."""
        waiting: list[Any] = [pipe for _, pipe in self.members]
        while waiting:
            pipes: list[Any] = wait(waiting)
            for pipe in pipes:
                waiting.remove(pipe)
                try:
                    message = pipe.recv()
                except EOFError:
                    message = 'a process died; is there enough memory?'
                if message != 'ready':
                    raise ValueError(message)

    def end(self) -> None:
        for process, _ in self.members:
            process.terminate()
            process.join()


def _member(variant: Variant, case: Case, env: dict[str, Any], pipe: Any) -> None:
    try:
        os.environ.update({key: str(value) for key, value in env.items()})
        torch.set_num_threads(case.threads)
        launcher = 'pytorch' if env['WORLD_SIZE'] > 1 else 'none'
        loop = Loop(variant, case, launcher)
        pipe.send('ready')
        while pipe.recv() == 'step':
            loop.step()
            pipe.send('ready')
    except BaseException as error:  # the parent reports it
        pipe.send(reason(error))
    os._exit(0)
