"""Calls in processes of their own, which need not import anything anew."""

from __future__ import annotations

import multiprocessing
import os
import textwrap
from collections.abc import Callable
from typing import Any

import torch

# a child inherits the imports of this process, which take longer than some runs
FORK = multiprocessing.get_context('fork')


def apart(
    threads: int,
    function: Callable[..., Any],
    *args: Any,
    most: float | None = None,
) -> Any:
    """Call a function in a process of its own, and return what it returns.

    What it needs is gone afterwards, and this process starts neither threads nor CUDA,
    which would not survive the next fork.

    Args:
        threads: Of torch, in there.
        function: What is called.
        args: Its arguments.
        most: Seconds after which it is ended. Defaults to None: never.

    Raises:
        ValueError: If it fails, or is ended.
    """
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_child, args=(sender, threads, function, args))
    process.start()
    sender.close()
    try:
        if not receiver.poll(most):
            process.kill()
            process.join()
            raise ValueError(f'ended, since it was not done within {most:.0f} s')
        error, value = receiver.recv()
    except EOFError:
        error, value = 'its process died; is there enough memory?', None
    process.join()
    if error is not None:
        raise ValueError(error)
    return value


def _child(
    sender: Any, threads: int, function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    try:
        torch.set_num_threads(threads)
        sender.send((None, function(*args)))
    except BaseException as error:  # the parent reports it
        sender.send((reason(error), None))
    os._exit(0)


def reason(error: BaseException) -> str:
    """Say in a line what went wrong."""
    return textwrap.shorten(f'{type(error).__name__}: {error}', 400)
