"""Small real runs on scikit-learn's digits, by the tools that users start."""

import gc
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmvitkd.utils import cli
from mmvitkd.utils.cli import build_runner
from tests.helpers import distiller

ROOT = Path(__file__).parents[2]
PIPELINE = [{'type': 'Resize', 'scale': 32}, {'type': 'PackInputs'}]


def config(folder: Path, name: str = 'tiny', **changes: Any) -> Path:
    """Write a whole config of a run: 2 epochs of 4 steps, everything random in it.

    Drop path, Mixup, crops and random masks, so that a resumed run is only the same
    if every random generator is.
    """
    crop = {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4}
    cfg = Config(
        {
            'default_scope': 'mmvitkd',
            'model': distiller(folder),
            'data_preprocessor': {
                'num_classes': 10,
                'mean': [78.0] * 3,
                'std': [96.0] * 3,
            },
            'train_dataloader': loader('train', [PIPELINE[0], crop, PIPELINE[1]]),
            'val_dataloader': loader('val', PIPELINE),
            'test_dataloader': loader('test', PIPELINE),
            'val_evaluator': {'type': 'Accuracy', 'topk': 1},
            'test_evaluator': {'type': 'Accuracy', 'topk': 1},
            'optim_wrapper': {'optimizer': {'type': 'AdamW', 'lr': 1e-3}},
            'param_scheduler': [{'type': 'CosineAnnealingLR', 'by_epoch': True}],
            'train_cfg': {'by_epoch': True, 'max_epochs': 2},
            'val_cfg': {},
            'test_cfg': {},
            'randomness': {'seed': 0},
            'auto_scale_lr': {'base_batch_size': 64},
            'custom_imports': {'imports': ['tests.test_tools.kill_hook']},
            'custom_hooks': [{'type': 'KillHook'}],
            # the teacher has random weights
            'default_hooks': {
                'check': {'type': 'mmvitkd.DistillationCheckHook', 'allow_chance': True}
            },
        }
    )
    cfg.model.student.backbone.drop_path_rate = 0.3
    cfg.model.student.train_cfg = {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    cfg.merge_from_dict(deepcopy(changes))
    path = folder / f'{name}.py'
    cfg.dump(path)
    return path


def loader(
    split: str, pipeline: list[dict], images: int = 64, shuffle: bool | None = None
) -> dict:
    """Config of a data loader with a few images of the digits."""
    return {
        'batch_size': 16,
        'num_workers': 0,
        'dataset': {
            'type': 'Digits',
            'split': split,
            'indices': images,
            'serialize_data': False,  # faster for so few
            'pipeline': pipeline,
        },
        'sampler': {
            'type': 'DefaultSampler',
            'shuffle': split == 'train' if shuffle is None else shuffle,
        },
    }


def run(tool: str, *args: Any, **env: str) -> Any:
    """Run a tool in this process; its runner comes back, if it has one."""
    path = ROOT / 'tools' / f'{tool}.py'
    runners = []

    def keep(cfg: Config) -> Runner:
        # MMEngine finds loggers by this name, which has only the second in it
        cfg.experiment_name = uuid4().hex
        runners.append(build_runner(cfg))
        return runners[-1]

    with (
        mock.patch.object(sys, 'argv', [str(arg) for arg in (path, *args)]),
        mock.patch.object(sys, 'path', [str(path.parent), *sys.path]),
        mock.patch.object(cli, 'build_runner', keep),
        mock.patch.dict(os.environ, env),
    ):
        runpy.run_path(str(path), run_name='__main__')
    return runners[0] if runners else None


def in_processes(count: int, target: Callable, *args: Any, code: int = 0) -> None:
    """Call a function as torchrun would, in forks of this process: no imports.

    All must end with the same exit code.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    shared = {'WORLD_SIZE': str(count), 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
    processes = []
    for rank in map(str, range(count)):
        env = {**shared, 'RANK': rank, 'LOCAL_RANK': rank}
        with mock.patch.dict(os.environ, env):
            process = get_context('fork').Process(target=_alone, args=(target, *args))
            process.start()
        processes.append(process)
    for process in processes:
        process.join(timeout=300)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [code] * count


def _alone(target: Callable, *args: Any) -> None:
    """Call a function without OpenMP's threads, which a fork leaves behind."""
    torch.set_num_threads(1)
    # nor does it finalise what the parent has left: in the midst of ast.parse that ends
    # in a SystemError of CPython's (gh-106905)
    gc.freeze()
    target(*args)


def run_together(count: int, tool: str, *args: Any) -> None:
    """Run a tool in several processes."""
    in_processes(count, run, tool, *args, '--launcher', 'pytorch')


def kill(
    iteration: int, *args: Any, processes: int = 1, at: str = 'KILL_BEFORE_ITER'
) -> None:
    """Train in processes that end by SIGKILL before an iteration of the run."""
    launcher = ['--launcher', 'pytorch'] if processes > 1 else []
    with mock.patch.dict(os.environ, {at: str(iteration)}):
        in_processes(processes, run, 'train', *args, *launcher, code=-signal.SIGKILL)


def message(tool: str, *args: Any) -> str:
    """Run a tool that ends with a message for its user, and return that."""
    with pytest.raises(SystemExit) as end:
        run(tool, *args)
    return str(end.value)


def begin(*command: Any, **env: str) -> subprocess.Popen:
    """Begin a command of the checkout in processes of its own, of one thread each."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={
            **os.environ,
            'PYTHONPATH': str(ROOT),
            'PATH': path,
            'OMP_NUM_THREADS': '1',
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for a command, which must end with this code; return what it said."""
    out = process.communicate(timeout=300)[0]
    assert process.returncode == code, out
    return out


def weights(path: Path, key: str = 'state_dict') -> dict[str, torch.Tensor]:
    """The weights of a checkpoint."""
    return torch.load(path, weights_only=False)[key]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Bit by bit."""
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def cache(cfg: Path, out: Path, *args: Any, **env: str) -> Path:
    """Store the outputs of a config's teacher; return the config to train with."""
    run('cache_teacher', cfg, '--out', out, *args, **env)
    return out / f'{cfg.stem}_cached.py'


def losses(runner: Runner, name: str) -> Any:
    """Every value of a loss that a run has logged."""
    return runner.message_hub.get_scalar(f'train/{name}').data[0]


# without anything random, so that batches can be split
PLAIN = {
    'model.student.backbone.drop_path_rate': 0.0,
    'model.student.train_cfg': None,
    'model.terms.gen.neck.mask_ratio': 0.0,
    'train_dataloader': loader('train', PIPELINE, images=16, shuffle=False),
    # one step of SGD whose change is the gradient
    'optim_wrapper.optimizer': {'type': 'SGD', 'lr': 1.0},
    'param_scheduler': None,
    'train_cfg.max_epochs': 1,
}
