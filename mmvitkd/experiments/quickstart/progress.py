"""Live progress of several trainings, with the time left."""

from __future__ import annotations

import shutil
import sys
from time import monotonic
from typing import Any


def clock(seconds: float) -> str:
    """Format a duration as ``m:ss``."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


class Progress:
    """One line that renews itself on a terminal, elsewhere a line now and then.

    Args:
        jobs: Name to relative cost and number of epochs.
    """

    def __init__(self, jobs: dict[str, tuple[float, int]]) -> None:
        self.jobs = jobs
        self.epochs = dict.fromkeys(jobs, 0)
        self.done = 0
        self.start = monotonic()
        self.first: tuple[float, float] | None = None  # when the first report came
        self.live = sys.stdout.isatty()
        self.said = 0.0  # the share of the work at the last line

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1."""
        total = sum(cost for cost, _ in self.jobs.values())
        parts = (cost * self.epochs[n] / last for n, (cost, last) in self.jobs.items())
        return sum(parts) / total

    def at(self, name: str, epoch: int) -> None:
        """Note that a job has finished an epoch."""
        self.epochs[name] = max(epoch, self.epochs[name])
        self.first = self.first or (monotonic(), self.share)
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f'\r\033[K{self.line()[:width]}')
            sys.stdout.flush()
        elif self.share - self.said >= 0.1:
            print(self.line(), flush=True)
            self.said = self.share

    def line(self) -> str:
        """Sum up: share, elapsed and left, and what is running."""
        elapsed, share = monotonic() - self.start, self.share
        left = self.left()
        running = ', '.join(
            f'{name} {self.epochs[name]}/{last}'
            for name, (_, last) in self.jobs.items()
            if 0 < self.epochs[name] < last
        )
        bar = '#' * int(20 * share)
        return (
            f'[{bar:<20}] {share:4.0%}  {clock(elapsed)} gone, {left} left  '
            f'{self.done}/{len(self.jobs)} done; epochs: {running}'
        )

    def left(self) -> str:
        """Estimate the time left by the pace since the first report."""
        begun, share = self.first or (0.0, 1.0)
        if self.share <= share:
            return 'unknown time'
        pace = (self.share - share) / (monotonic() - begun)
        return f'about {clock((1 - self.share) / pace)}'

    def finished(self, name: str, result: dict[str, Any]) -> None:
        """Note that a job is done, and say what came out."""
        self.epochs[name] = self.jobs[name][1]
        self.done += 1
        clear = '\r\033[K' if self.live else ''
        print(
            f'{clear}{name:<18} validation {result["val"]:5.1f} %, '
            f'test {result["test"]:5.1f} %, {clock(result["seconds"])}',
            flush=True,
        )

    def close(self) -> None:
        """Leave the terminal's line clean."""
        if self.live:
            sys.stdout.write('\r\033[K')
            sys.stdout.flush()
