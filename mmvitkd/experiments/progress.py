"""What is to do, how it goes, and about how long the rest takes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from .run import Run
from .schedule import Watcher
from .timing import Estimate, duration, estimate_all

STEP = 0.1  # of the work, between two lines where there is no terminal


class Group(NamedTuple):
    """Runs of one name that take equally long."""

    name: str  # for people
    runs: Sequence[Run]  # that the plan has
    possible: Sequence[Run] = ()  # that it may come to have


def groups_of(runs: Iterable[Run]) -> list[Group]:
    """Group runs by their settings."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.setting.folder, []).append(run)
    return [Group(some[0].setting.name, some) for some in found.values()]


def show_plan(
    groups: Sequence[Group], gpus: int, jobs: int, timed: bool = True
) -> dict[Run, float]:
    """Print what is to do, and about how long it takes.

    Args:
        groups: All runs.
        gpus: Of each run; 0 for the CPU.
        jobs: How many runs at a time.
        timed: Whether to estimate how long they take. Defaults to True.

    Returns:
        About how many seconds a run takes, where that is known.
    """
    left = [[run for run in group.runs if not run.result()] for group in groups]
    first = [runs[0].setting for runs in left if runs and timed]
    estimates = estimate_all(first, gpus)
    times: dict[Run, float] = {}
    training = 0.0
    for group, runs in zip(groups, left, strict=True):
        note = f'{len(runs):3} of {len(group.runs)} runs to do'
        states = [run.state() for run in runs]
        for state in ('begun', 'failed'):
            if state in states:
                note += f' ({states.count(state)} {state})'
        found = estimates.get(runs[0].setting.folder) if runs else None
        if isinstance(found, Estimate):
            note += f', about {duration(found.run)} each'
            times |= dict.fromkeys([*group.runs, *group.possible], found.run)
            training += found.run * len(runs)
        elif found:
            note += f'; no estimate: {found}'
        print(f'{note:42}  {group.name}', flush=True)
    count = sum(map(len, left))
    training /= max(min(jobs, count), 1)
    print(
        f'{count} of {sum(len(group.runs) for group in groups)} runs to do'
        + (f'; training takes about {duration(training)}' if training else '')
        + f', {jobs} at a time',
        flush=True,
    )
    return times


class Progress(Watcher):
    """A line that renews itself on a terminal, elsewhere a line now and then.

    Args:
        runs: All that are to be done.
        costs: Of each, in any unit; the others are taken for average ones.
        text: Says what a finished run measured.
    """

    def __init__(
        self,
        runs: Iterable[Run],
        costs: Mapping[Run, float],
        text: Callable[[Run], str],
    ) -> None:
        self.runs = [run for run in runs if not run.result()]
        known = [costs[run] for run in self.runs if run in costs]
        average = sum(known) / len(known) if known else 1.0
        self.costs = {run: costs.get(run) or average for run in self.runs}
        self.text = text
        self.done: dict[Run, float] = dict.fromkeys(self.runs, 0.0)
        self.start = monotonic()
        self.live = sys.stdout.isatty()
        self.printed = 0.0  # the share of the work at the last line

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1."""
        total = sum(self.costs.values())
        done = sum(self.costs[run] * share for run, share in self.done.items())
        return done / total if total else 1.0

    def at(self, active: Sequence[Run]) -> None:
        """Show how far the runs in hand are."""
        self.done |= {run: run.progress() for run in active if run in self.done}
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f'\r\033[K{self.line(active)[:width]}')
            sys.stdout.flush()
        elif self.share - self.printed >= STEP:
            print(self.line(active), flush=True)
            self.printed = self.share

    def line(self, active: Sequence[Run]) -> str:
        """Sum up: share, elapsed and left, and what is running."""
        ended = sum(share == 1 for share in self.done.values())
        running = ', '.join(f'{run.name} {self.done.get(run, 0):.0%}' for run in active)
        bar = '#' * int(20 * self.share)
        return (
            f'[{bar:<20}] {self.share:4.0%}  {clock(monotonic() - self.start)} elapsed'
            f', {self.left()} left  {ended}/{len(self.done)} runs; {running}'
        )

    def left(self) -> str:
        """Estimate the time left by the pace so far."""
        return f'about {clock(self.seconds_left())}' if self.share else 'unknown time'

    def ended(self, run: Run, left: Sequence[Run]) -> None:
        """Say what came out."""
        self.done[run] = 1.0
        clear = '\r\033[K' if self.live else ''
        text = self.text(run) if run.result() else f'FAILED: {run.failure()}'
        rest = f', about {duration(self.seconds_left())}' if left and self.share else ''
        print(f'{clear}{text:>5}  {run.name}  ({len(left)} left{rest})', flush=True)

    def seconds_left(self) -> float:
        """Estimate the seconds left by the pace so far."""
        return (1 - self.share) * (monotonic() - self.start) / self.share


def clock(seconds: float) -> str:
    """Format a duration as ``m:ss``."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def show_failures(runs: Iterable[Run]) -> int:
    """Print which runs failed, and where to look; return how many."""
    failed = [run for run in dict.fromkeys(runs) if run.failure()]
    for run in failed:
        print(f'failed: {run.name}: {run.failure()}')
        print(f'  see {run.folder / "console.log"}')
    return len(failed)
