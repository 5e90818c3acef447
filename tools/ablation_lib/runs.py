"""Carry runs out: each in a process of its own, in its own folder, once."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmvitkd.utils.cli import build_runner, random_teachers
from mmvitkd.utils.hooks import complete_hooks

from .tables import ROOT, Run

TOOLS = ROOT / 'tools'
# each run's process inherits the imports of this one, which take longer than some runs
FORK = multiprocessing.get_context('fork')


def result(run: Run) -> dict[str, Any] | None:
    """Return what a finished run measured, or None."""
    file = run.folder / 'result.json'
    return json.loads(file.read_text()) if file.is_file() else None


def failure(run: Run) -> str | None:
    """Return why a run did not finish when it was last tried, or None."""
    for teacher in run.teachers.values():
        if reason := failure(teacher):
            return f'its teacher failed: {reason}'
    file = run.folder / 'failure.txt'
    return file.read_text().strip() if file.is_file() else None


def state(run: Run) -> str:
    """Say how far a run is."""
    if result(run):
        return 'done'
    if failure(run):
        return 'failed'
    return 'begun' if any(run.folder.glob('*.pth')) else 'new'


def versions() -> dict[str, str]:
    """List what the results depend on."""
    found = {'python': platform.python_version(), 'torch': torch.__version__}
    for package in ('mmengine', 'mmcv', 'mmpretrain'):
        for name in (f'onedl-{package}', package, f'{package}-lite'):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
            break
    return found


def carry_out(
    runs: list[Run],
    jobs: int,
    gpus: int,
    report: Callable[[Run, list[Run]], None],
    test: Callable[[Run, int], dict[str, Any]] | None = None,
) -> None:
    """Carry out what is not finished, ``jobs`` at a time.

    A run that is killed or fails does not stop the others; those that need it as
    their teacher are left out.

    Args:
        runs: In their order of preference, teachers included.
        jobs: How many at once.
        gpus: For each; 0 for the CPU.
        report: Called with every run that ends, and those that are left.
        test: Called in a run's process when it is trained, with the GPUs; returns what
            it measures. Defaults to None, which tests a classifier.
    """
    waiting = [run for run in runs if not result(run)]
    for run in waiting:
        (run.folder / 'failure.txt').unlink(missing_ok=True)
    active: dict[int, tuple[Any, Run]] = {}

    def left() -> list[Run]:
        return [*waiting, *(run for _, run in active.values())]

    try:
        while waiting or active:
            for run in [r for r in waiting if _ready(r)][: jobs - len(active)]:
                waiting.remove(run)
                process = FORK.Process(
                    target=_child, args=(run, gpus, test or test_classifier)
                )
                process.start()
                active[process.sentinel] = (process, run)
            for run in [r for r in waiting if any(map(failure, r.teachers.values()))]:
                waiting.remove(run)
                report(run, left())
            for sentinel in multiprocessing.connection.wait(list(active), timeout=1):
                process, run = active.pop(sentinel)
                process.join()
                if not result(run) and not failure(run):
                    _fail(run, f'its process ended with code {process.exitcode}')
                report(run, left())
    finally:
        for process, _ in active.values():
            process.terminate()
            process.join()


def _ready(run: Run) -> bool:
    return all(result(teacher) for teacher in run.teachers.values())


def _fail(run: Run, reason: str) -> None:
    """Keep why a run failed, as one line: it goes into a cell of a table."""
    run.folder.mkdir(parents=True, exist_ok=True)
    line = textwrap.shorten(reason, 300, placeholder=' ...')
    (run.folder / 'failure.txt').write_text(f'{line}\n')


def _child(run: Run, gpus: int, test: Callable[[Run, int], dict[str, Any]]) -> None:
    """Train and test in this process, whose output goes to the run's folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run.folder.mkdir(parents=True, exist_ok=True)
    with open(run.folder / 'console.log', 'a', encoding='utf-8') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        _train_and_test(run, gpus, test)
    except SystemExit as end:
        if end.code not in (None, 0):
            _fail(run, str(end.code))
    except BaseException as error:  # the reason is all that is left of a run
        traceback.print_exc()
        _fail(run, f'{type(error).__name__}: {error}')
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _train_and_test(
    run: Run, gpus: int, test: Callable[[Run, int], dict[str, Any]]
) -> None:
    config = run.folder / 'config.json'
    run.config().dump(config)
    if not run.checkpoint.is_file():
        call_tool(
            'train', [str(config), '--work-dir', str(run.folder), '--resume'], gpus
        )
    line = {
        **test(run, gpus),
        'date': date.today().isoformat(),
        'versions': versions(),
        'device': torch.cuda.get_device_name() if gpus else 'CPU',
    }
    part = run.folder / 'result.json.part'
    part.write_text(json.dumps(line, indent=1))
    part.rename(run.folder / 'result.json')


def test_classifier(run: Run, gpus: int) -> dict[str, Any]:
    """Test a classifier, or a distiller's student, on its test images."""
    metrics = run.folder / 'metrics.json'
    call_tool(
        'test',
        [
            *(str(run.folder / 'config.json'), str(run.checkpoint)),
            *('--work-dir', str(run.folder)),
            *('--out', str(metrics), '--out-item', 'metrics'),
        ],
        gpus,
    )
    measured = json.loads(metrics.read_text())
    return {
        'top1': measured['accuracy/top1'],
        'top5': measured.get('accuracy/top5'),
        'nll': measured.get('nll'),
    }


def call_tool(name: str, args: list[str], gpus: int) -> None:
    """Call ``tools/<name>.py`` in this process, or on several GPUs in their own.

    Args:
        name: ``'train'`` or ``'test'``, or one of these in ``'downstream/'``.
        args: Config, for testing the checkpoint, and options.
        gpus: How many; 0 for the CPU.
    """
    if gpus > 1:
        config, *rest = args
        script = (TOOLS / name).with_name(f'dist_{Path(name).name}.sh')
        command = ['bash', str(script), config]
        if script.name == 'dist_test.sh':
            command.append(rest.pop(0))
        code = _call([*command, str(gpus), *rest])
        if code:
            sys.exit(f'{script} ended with code {code}')
        return
    if gpus == 0:
        torch.set_num_threads(1)
    sys.argv = [str(TOOLS / f'{name}.py'), *args]
    runpy.run_path(sys.argv[0], run_name='__main__')


def _call(command: list[str]) -> int:
    """Run a command, and end it with all that it started when this process is ended."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        os._exit(1)


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
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(
        target=_timing_child, args=(configs, steps + warm_up, clock, sender)
    )
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        answer = 'the process that measured died'
    process.join()
    if isinstance(answer, str):
        raise ValueError(answer)
    return {name: times[warm_up:] for name, times in answer.items()}


def _timing_child(
    configs: dict[str, Config], steps: int, clock: Callable[[], float], sender: Any
) -> None:
    folder = tempfile.mkdtemp()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        if not torch.cuda.is_available():
            torch.set_num_threads(1)
        loops = {name: _steps(name, cfg, Path(folder)) for name, cfg in configs.items()}
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(steps):
            for name, loop in loops.items():
                start = clock()
                next(loop)
                times[name].append(clock() - start)
        sender.send(times)
    except BaseException as error:  # SystemExit and the like: the parent reports it
        sender.send(f'{type(error).__name__}: {error}')
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _steps(name: str, cfg: Config, folder: Path) -> Iterator[None]:
    """Train for ever, a step whenever asked."""
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    cfg = cfg.copy()
    cfg.work_dir = str(folder / name)
    cfg.experiment_name = name
    cfg.launcher = 'none'
    for number, teacher in enumerate(random_teachers(cfg.model)):
        teacher.checkpoint = str(folder / f'{name}-{number}.pth')
    complete_hooks(cfg)
    runner = build_runner(cfg)
    for teacher in getattr(runner.model, 'teachers', {}).values():
        torch.save({'state_dict': teacher.model.state_dict()}, teacher.checkpoint)
    loader = runner.build_dataloader(cfg.train_dataloader)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.model.train()
    while True:
        for batch in loader:
            runner.model.train_step(batch, runner.optim_wrapper)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            yield
