"""What ``python -m mmvitkd gpu-check`` does."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

from ..benchmark.benchmark import device_name
from ..benchmark.measure import is_cuda
from ..fork import apart
from ..worker import importable, versions
from .counts import count_row
from .measure import MOST_ROUNDS, Plan, time_row
from .page import write
from .rows import Row, list_rows

STOPPING = 10.0  # seconds in which a training writes its last checkpoint
WORTHWHILE = 60.0  # a training needs as many to get anywhere
OVER = 1.5  # times its own seconds, after which a row is ended


def gpu_check(args: argparse.Namespace) -> None:
    """Measure row by row while there is time, and write after each.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If there is no such row, or no GPU.
    """
    end = monotonic() + 60 * args.minutes
    if args.device == 'cuda' and not is_cuda():
        raise ValueError(
            'torch sees no GPU: --device cpu --tiny tries what would run on one'
        )
    rows = _chosen(list_rows(args.tiny), args.only)
    rounds = 1 if args.tiny else MOST_ROUNDS
    plan = Plan(args.batch_size, args.threads, rounds)
    record: dict[str, Any] = {
        'command': shlex.join(
            ['python', '-m', 'mmvitkd', 'gpu-check', *args.arguments]
        ),
        'date': date.today().isoformat(),
        'device': apart(1, device_name),  # CUDA starts in there
        'versions': versions(),
        'cases': [],
        'counts': [],
        'not_run': {},
        'training': '',
    }
    for number, row in enumerate(rows):
        left = end - monotonic()
        share = row.share / sum(one.share for one in rows[number:])
        _do(row, plan, left * share, left, record)
        write(record, args.out)
    if not args.only:
        record['training'] = train(args, end)
        write(record, args.out)
    print((args.out / 'gpu_check.md').read_text(encoding='utf-8'))


def _chosen(rows: list[Row], only: list[str] | None) -> list[Row]:
    names = [row.name for row in rows]
    unknown = [name for name in only or [] if name not in names]
    if unknown:
        raise ValueError(f'--only {unknown[0]!r}: there are {names}')
    return [row for row in rows if not only or row.name in only]


def _do(
    row: Row, plan: Plan, seconds: float, left: float, record: dict[str, Any]
) -> None:
    """Run a row within its seconds; what fails is a line of the record."""
    if left < 1:
        record['not_run'][row.name] = 'the time was over'
        return
    print(f'{row.name}: {", ".join(e.name for e in row.entries)}', flush=True)
    function: Callable[..., dict] = count_row if row.counted else time_row
    most = min(OVER * seconds, left)
    with tempfile.TemporaryDirectory() as folder:  # also if the process is ended
        args = row, plan, Path(folder), seconds
        try:
            found = apart(plan.threads, function, *args, most=most)
        except ValueError as error:
            record['not_run'][row.name] = str(error)
            return
    record['counts' if row.counted else 'cases'].append(found)


def train(args: argparse.Namespace, end: float) -> str:
    """Train at full scale for what is left of the time.

    Returns:
        What came of it, in words; the same command goes on where it stopped.
    """
    left = end - monotonic() - STOPPING
    folder = args.out / 'comparison'
    command = [
        sys.executable, '-m', 'mmvitkd', 'compare', '--methods', 'fashion-mnist-full',
        '--seeds', '1', '--jobs', '1', '--gpus', '1' if is_cuda() else '0',
        '--work-dir', str(folder), '--out', str(folder / 'results'),
    ]  # fmt: skip
    if args.tiny:
        command.append('--dry-run')
    line = shlex.join(['python', *command[1:]])
    if left < WORTHWHILE and not args.tiny:
        return f'No time was left for it: `{line}`.'
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / 'training.log').open('w') as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=importable()
        )
        try:
            code = process.wait(max(left, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return (
                f'Stopped after {left:.0f} s, when the time was over. `{line}` goes on.'
            )
    said = 'Finished' if code == 0 else f'Ended with code {code}, see training.log'
    return f'{said}: `{line}`.'
