"""Distil a vision transformer on real images, from nothing to a table and a report.

A teacher learns scikit-learn's digits. Then, from equal starts and with equal
budgets, the same student learns alone, with ViTKD, and with ViTKD + NKD, once for
every seed. All are tested on held-out images; the student that validated best is
exported as a plain MMPretrain checkpoint, loaded back by MMPretrain's own inferencer
and asked about an image file. A report, one HTML file, shows what the models learned.

What a run leaves in the work dir is used again by the next call, as long as its
config, seed, versions and the code of mmvitkd are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from quickstart_lib.progress import Progress
from quickstart_lib.runs import ARMS, TEACHER, train

import mmvitkd
from mmvitkd.utils.run_lock import lock_dir

MARKER = '.mmvitkd-quickstart'
RESULT = 'result.json'
# of a run, relative to the student alone; only for the time left
COSTS = {'teacher': 3.0, 'alone': 1.0, 'vitkd': 2.0, 'vitkd-nkd': 2.1}


class QuickstartError(Exception):
    """Something the user can mend; it is shown as one line."""


@dataclass(frozen=True)
class Job:
    """One training: what it is, where it goes, and what makes it the same run."""

    arm: str
    seed: int
    epochs: int
    cfg: Config = field(repr=False)
    device: str
    folder: Path

    @property
    def name(self) -> str:
        return self.arm if self.arm == 'teacher' else f'{self.arm}, seed {self.seed}'

    @property
    def cost(self) -> float:
        return COSTS[self.arm]

    @property
    def checkpoint(self) -> Path:
        return self.folder / f'epoch_{self.epochs}.pth'

    def result(self) -> dict[str, Any] | None:
        """Return what the finished run wrote, or None."""
        file = self.folder / RESULT
        if not (file.is_file() and self.checkpoint.is_file()):
            return None
        return json.loads(file.read_text())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, default=3, help='how many (default: 3)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/quickstart'), metavar='DIR'
    )
    parser.add_argument(
        '--max-epochs',
        type=int,
        metavar='N',
        help='cut every training to N epochs, to try the machinery, not the method',
    )
    return parser.parse_args()


def check(args: argparse.Namespace) -> str:
    """Refuse arguments that cannot work; return the device."""
    for name in ('seeds', 'max_epochs'):
        value = getattr(args, name)
        if value is not None and value < 1:
            option = name.replace('_', '-')
            raise QuickstartError(f'--{option} {value}: give 1 or more')
    has_cuda = torch.cuda.is_available()
    if args.device == 'cuda' and not has_cuda:
        raise QuickstartError(
            '--device cuda: torch finds no CUDA device here; use --device cpu'
        )
    return 'cuda' if args.device != 'cpu' and has_cuda else 'cpu'


@contextmanager
def claim(work_dir: Path) -> Iterator[None]:
    """Make ``work_dir`` ours, and keep a second call out while this one runs."""
    marker = work_dir / MARKER
    if work_dir.exists() and not marker.exists():
        if not work_dir.is_dir():
            raise QuickstartError(f'--work-dir {work_dir} is a file, not a folder')
        if any(work_dir.iterdir()):
            raise QuickstartError(
                f'--work-dir {work_dir} holds other things, which are left alone: give '
                'a new or empty folder, or one that the quickstart made'
            )
    with ExitStack() as held:
        try:
            held.enter_context(lock_dir(work_dir))
            marker.touch()
        except (OSError, ValueError) as error:
            raise QuickstartError(f'--work-dir {work_dir}: {error}') from error
        yield


def code_digest() -> str:
    """Digest the code that a training runs through."""
    digest = hashlib.sha256(f'{torch.__version__} {mmvitkd.__version__}'.encode())
    package = Path(mmvitkd.__file__).parent
    for folder in (package / 'models', package / 'datasets'):
        for file in sorted(folder.rglob('*.py')):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def make_job(
    arm: str, seed: int, args: argparse.Namespace, device: str, teacher: Job | None
) -> Job:
    """Describe one training; its folder's name tells its settings apart."""
    cfg = Config.fromfile(TEACHER if arm == 'teacher' else ARMS[arm])
    cfg.randomness.seed = seed
    if args.max_epochs:
        cfg.train_cfg.max_epochs = min(args.max_epochs, cfg.train_cfg.max_epochs)
    epochs = cfg.train_cfg.max_epochs
    cfg.train_cfg.val_interval = min(cfg.train_cfg.val_interval, epochs)
    if teacher is not None:
        # its folder's name stands for all its settings; the work dir may move
        cfg.model.teacher.checkpoint = teacher.folder.name
    settings = json.dumps([cfg.to_dict(), device, code_digest()], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    folder = args.work_dir / 'runs' / f'{arm}-seed{seed}-{digest}'
    if teacher is not None:
        cfg.model.teacher.checkpoint = str(teacher.checkpoint)
    return Job(arm, seed, epochs, cfg, device, folder)


def plan(args: argparse.Namespace, device: str) -> list[Job]:
    """List the trainings: the teacher, then every arm under every seed."""
    teacher = make_job('teacher', 0, args, device, None)
    students = [
        make_job(arm, seed, args, device, None if arm == 'alone' else teacher)
        for arm in ARMS
        for seed in range(args.seeds)
    ]
    return [teacher, *students]


def start_worker(messages: Any) -> None:
    """Give a worker process what it reports through; a queue can't come with a job."""
    global outbox
    outbox = messages


def run_job(job: Job, parent: int) -> dict[str, Any]:
    """Train in a worker process; the result, written last, says it is finished."""

    def tell(epoch: int) -> None:
        if os.getppid() != parent:  # it was killed: leave no one to write on
            os._exit(1)
        outbox.put((job.name, epoch))

    shutil.rmtree(job.folder, ignore_errors=True)  # of a run that was cut short
    result = train(job.cfg, job.folder, test=True, device=job.device, report=tell)
    part = job.folder / f'{RESULT}.part'
    part.write_text(json.dumps(result, indent=2))
    os.replace(part, job.folder / RESULT)
    return result


@contextmanager
def ctrl_c_ignored() -> Iterator[None]:
    """Ignore Ctrl-C inside; processes that are started here ignore it for good."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_all(jobs: list[Job], device: str) -> None:
    """Run the jobs side by side; those of the distilled arms await the teacher."""
    # a job computes in one thread; on one GPU they would only wait for each other
    workers = 1 if device == 'cuda' else min(len(jobs), os.cpu_count() or 1, 4)
    print(f'{len(jobs)} trainings on {device}, {workers} at a time')
    context = multiprocessing.get_context('spawn')
    messages = context.Queue()
    pool = ProcessPoolExecutor(workers, context, start_worker, (messages,))
    progress = Progress({job.name: (job.cost, job.epochs) for job in jobs})
    waiting = [job for job in jobs if job.arm not in ('teacher', 'alone')]
    ready = [job for job in jobs if job not in waiting]
    running: dict[Future, Job] = {}
    try:
        while ready or running or waiting:
            with ctrl_c_ignored():  # workers leave it to their parent
                running |= {pool.submit(run_job, j, os.getpid()): j for j in ready}
            ready = []
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            while not messages.empty():
                progress.at(*messages.get())
            for future in done:
                job = running.pop(future)
                progress.finished(job.name, finish(job, future))
            if not any(job.arm == 'teacher' for job in running.values()):
                ready, waiting = waiting, []
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        progress.close()
        pool.shutdown(wait=False, cancel_futures=True)


def finish(job: Job, future: Future) -> dict[str, Any]:
    """Return a job's result, or say in one line what went wrong."""
    try:
        return future.result()
    except Exception as error:
        reason = str(error).strip().split('\n')[0]
        raise QuickstartError(
            f'{job.name} failed: {type(error).__name__}: {reason} '
            f'(see {job.folder / "console.log"})'
        ) from error


def run(args: argparse.Namespace) -> None:
    device = check(args)
    args.work_dir = args.work_dir.absolute()
    with claim(args.work_dir):
        carry_out(args, device)


def carry_out(args: argparse.Namespace, device: str) -> None:
    jobs = plan(args, device)
    todo = [job for job in jobs if job.result() is None]
    reused = [job.name for job in jobs if job not in todo]
    print(f'Work dir: {args.work_dir}')
    if reused:
        print(f'Reused: {"; ".join(reused)}')
    if todo:
        run_all(todo, device)
    from quickstart_lib import report  # heavy, and the workers have no use for it

    finished = [
        report.Finished(job.arm, job.seed, job.checkpoint, job.result() or {})
        for job in jobs
    ]
    report.write(finished, args.work_dir, device)


def main() -> int:
    args = parse_args()
    try:
        run(args)
    except QuickstartError as error:
        print(f'quickstart: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nquickstart: stopped; the same command goes on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
