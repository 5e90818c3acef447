"""Lines on stderr that say of a command that it works, while it says nothing itself.

Imports nothing but the standard library, since it begins before PyTorch is loaded.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

VARIABLE = 'MMVITKD_PROGRESS'  # of tools/setup_env.sh, too
PERIOD = 8.0  # seconds
RANKS = ('RANK', 'SLURM_PROCID')

Describe = Callable[[], str]
_parts: list[Describe] = []  # what is at work, the innermost the last


def say_loading(command: str) -> None:
    """Say that libraries are being loaded, which takes seconds, if they are not yet."""
    if 'torch' not in sys.modules and _is_first_process():
        text = f'{command}: loading PyTorch and MMPretrain ...'
        print(text, file=sys.stderr, flush=True)


@contextmanager
def describing(describe: Describe) -> Iterator[None]:
    """Let the lines tell how far a part of a command is.

    Args:
        describe: Returns what to say; called in another thread.
    """
    _parts.append(describe)
    try:
        yield
    finally:
        _parts.remove(describe)


@contextmanager
def heartbeat(command: str, period: float | None = None) -> Iterator[None]:
    """Write a line to stderr whenever nothing was written for some time.

    Only the first of several processes does, and none that this one forks.

    Args:
        command: Its name.
        period: Seconds without a line. Defaults to None: those of the environment
            variable, of which 0 is for no lines, or 8.
    """
    seconds = _period() if period is None else period
    if seconds <= 0 or not _is_first_process():
        yield
        return
    beat = _Beat(command, seconds)
    try:
        yield
    finally:
        beat.stop()


class _Beat:
    """The thread that writes, and what it knows of the others' lines."""

    def __init__(self, command: str, period: float) -> None:
        self.command, self.period = command, period
        self.begun = self.heard = monotonic()
        self.ended = threading.Event()
        self.streams = [s for s in (sys.stdout, sys.stderr) if s is not None]
        self.write: Any = None if sys.stderr is None else _writer(sys.stderr)
        for stream in self.streams:
            self._listen(stream)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _listen(self, stream: Any) -> None:
        """Have a stream note when somebody writes; it stays the same object."""
        write = stream.write

        def heard(text: str) -> int:
            self.heard = monotonic()
            return write(text)

        stream.write = heard

    def _run(self) -> None:
        while self.write is not None:
            left = self.heard + self.period - monotonic()
            if self.ended.wait(max(left, 0.05)):
                return
            if monotonic() - self.heard >= self.period:
                self.heard = monotonic()
                try:
                    self.write(self._line())
                except (OSError, ValueError):  # nobody listens any more
                    return

    def _line(self) -> str:
        try:
            what = _parts[-1]() if _parts else ''
        except Exception:  # of a part that is just beginning or ending
            what = ''
        seconds = monotonic() - self.begun
        return f'{self.command}: {what or "at work"}, {seconds:.0f} s so far\n'

    def stop(self) -> None:
        self.ended.set()
        self.thread.join(timeout=1.0)
        for stream in self.streams:
            vars(stream).pop('write', None)


def _writer(stream: Any) -> Callable[[str], Any]:
    """Write past a stream's lock, which a process forked meanwhile would keep."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError, ValueError):  # it is no file
        return stream.write
    return lambda text: os.write(number, text.encode())


def _period() -> float:
    try:
        return float(os.environ.get(VARIABLE, PERIOD))
    except ValueError:
        return PERIOD


def _is_first_process() -> bool:
    ranks = [os.environ[name] for name in RANKS if name in os.environ]
    return not ranks or ranks[0] == '0'
