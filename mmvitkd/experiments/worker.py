"""One run, in a process of its own: train, test, and keep what was measured."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import mmvitkd

from .run import Run

# of a run and its GPUs, called when it is trained; returns what it measures
Test = Callable[[Run, int], dict[str, Any]]
PACKAGE = Path(mmvitkd.__file__).parent
METRICS = 'metrics.json'  # in a run's folder


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


def work(run: Run, gpus: int, test: Test) -> None:
    """Do a run; if it fails, keep the reason in its folder."""
    try:
        _train_and_test(run, gpus, test)
    except SystemExit as end:
        if end.code not in (None, 0):
            run.fail(str(end).removeprefix('error: '))
    except BaseException as error:  # the reason is all that is left of a run
        traceback.print_exc()
        run.fail(f'{type(error).__name__}: {error}')
    sys.stdout.flush()
    sys.stderr.flush()


def _train_and_test(run: Run, gpus: int, test: Test) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    config = run.folder / 'config.json'
    run.config().dump(config)
    if not run.checkpoint.is_file():
        folder = str(run.folder)
        call('train', [str(config), '--work-dir', folder, '--resume'], gpus)
    on_gpu = gpus and torch.cuda.is_available()
    line = {
        **test(run, gpus),
        'date': date.today().isoformat(),
        'versions': versions(),
        'device': torch.cuda.get_device_name() if on_gpu else 'CPU',
    }
    part = run.folder / 'result.json.part'
    part.write_text(json.dumps(line, indent=1))
    part.rename(run.folder / 'result.json')


def test_classifier(run: Run, gpus: int) -> dict[str, Any]:
    """Test a classifier, or a distiller's student, on its test images."""
    metrics = run.folder / METRICS
    measured = measure(run, gpus, '--out', metrics, '--out-item', 'metrics')
    return {
        'top1': measured['accuracy/top1'],
        'top5': measured.get('accuracy/top5'),
        'nll': measured.get('nll'),
    }


def measure(run: Run, gpus: int, *options: str | Path) -> dict[str, Any]:
    """Test a run by the command, whose options have it write :data:`METRICS`."""
    files = [run.folder / 'config.json', run.checkpoint, '--work-dir', run.folder]
    call('test', list(map(str, [*files, *options])), gpus)
    return json.loads((run.folder / METRICS).read_text())


def call(command: str, args: list[str], gpus: int) -> None:
    """Run a command of ``python -m mmvitkd`` here, or on several GPUs by torchrun.

    Args:
        command: ``'train'`` or ``'test'``.
        args: Its arguments.
        gpus: How many; 0 for the CPU.

    Raises:
        SystemExit: If it fails.
    """
    if gpus > 1:
        torchrun = ['torch.distributed.run', '--standalone', '--nproc-per-node']
        module = ['-m', 'mmvitkd', command, *args, '--launcher', 'pytorch']
        code = _call([sys.executable, '-m', *torchrun, str(gpus), *module])
        if code:
            sys.exit(f'{command} on {gpus} GPUs ended with code {code}')
        return
    from mmvitkd.commands import main

    if gpus == 0:
        torch.set_num_threads(1)
    main(command, args)


def importable() -> dict[str, str]:
    """Return the environment in which other processes find this package."""
    paths = [str(PACKAGE.parent), os.environ.get('PYTHONPATH', '')]
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))}


def _call(command: list[str]) -> int:
    """Run a command, and end it with all that it started when this process is ended."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    process = subprocess.Popen(command, start_new_session=True, env=importable())
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        os._exit(1)
