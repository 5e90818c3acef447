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

import numpy as np
import torch

import mmvitkd

from .run import Run

# of a run and its GPUs, called when it is trained; returns what it measures
Test = Callable[[Run, int], dict[str, Any]]
PACKAGE = Path(mmvitkd.__file__).parent
# in a run's folder
METRICS = 'metrics.json'
LABELS = 'labels.npy'  # of the test images, predicted and true, (2, N)


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
        source = (
            _store_outputs(run, config, gpus) if run.setting.stored_epochs else config
        )
        folder = str(run.folder)
        call('train', [str(source), '--work-dir', folder, '--resume'], gpus)
    on_gpu = gpus and torch.cuda.is_available()
    line = {
        **test(run, gpus),
        'date': date.today().isoformat(),
        'versions': versions(),
        'device': torch.cuda.get_device_name() if on_gpu else 'CPU',
    }
    run.keep(line)


def _store_outputs(run: Run, config: Path, gpus: int) -> Path:
    """Store what a run's teachers yield; return the config that trains from it."""
    out = run.folder / 'cache'
    epochs = str(run.setting.stored_epochs)
    call('cache', [str(config), '--out', str(out), '--epochs', epochs], gpus)
    return out / f'{config.stem}_cached.py'


def test_classifier(run: Run, gpus: int) -> dict[str, Any]:
    """Test a classifier, or a distiller's student, on its test images.

    Returns:
        Percentages, and ``nll`` in nats; None of what the config does not measure.
        ``corrupted`` is the mean over corruptions, each of which stands there as
        ``corrupted/<corruption>``.
    """
    files = ('--metrics', run.folder / METRICS, '--out', run.folder / LABELS)
    measured = measure(run, gpus, *files)
    corrupted = {k: v for k, v in measured.items() if k.startswith('corrupted/')}
    return {
        'top1': measured['accuracy/top1'],
        'top5': measured.get('accuracy/top5'),
        'nll': measured.get('nll'),
        'ece': measured.get('ece'),
        'agreement': agreement(run),
        'corrupted': corrupted.pop('corrupted/top1', None),
        **corrupted,
    }


def agreement(run: Run) -> float | None:
    """Return in how many percent of its test images its teacher names the same class.

    None without a teacher that was tested on the same images, or with several.
    """
    teacher = run.teachers.get('teacher')
    files = [one.folder / LABELS for one in (run, teacher) if one]
    if len(files) < 2 or not all(file.is_file() for file in files):
        return None
    (ours, labels), (theirs, their_labels) = map(np.load, files)
    if not np.array_equal(labels, their_labels):  # of another split
        return None
    return 100 * float(np.mean(ours == theirs))


def measure(run: Run, gpus: int, *options: str | Path) -> dict[str, Any]:
    """Test a run by the command, whose options have it write :data:`METRICS`."""
    files = [run.folder / 'config.json', run.checkpoint, '--work-dir', run.folder]
    call('test', list(map(str, [*files, *options])), gpus)
    return json.loads((run.folder / METRICS).read_text())


def call(command: str, args: list[str], gpus: int) -> None:
    """Run a command of ``python -m mmvitkd`` here, or on several GPUs by torchrun.

    Args:
        command: ``'train'``, ``'test'`` or ``'cache'``.
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
