"""What ``tools/train.py`` and ``tools/test.py`` share."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from .checkpoint import (
    allow_mmengine_globals,
    load_checkpoint,
    load_strictly,
    weights_of,
)
from .finite import require_finite


def add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing have in common."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. train_cfg.max_epochs=10; lists as '
        'key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help="don't pin the data loaders' memory (done where there is a GPU)",
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who started the processes of a distributed run. Default: none',
    )
    # torch.distributed.launch passes one or the other, torchrun neither
    parser.add_argument(
        '--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS
    )


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply ``--cfg-options``, ``--launcher``, ``--work-dir``.

    Raises:
        ValueError: If there is no such config.
    """
    if not Path(args.config).is_file():
        raise ValueError(f"config '{args.config}' does not exist")
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(args.config).stem)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return cfg


def complete_dataloader(
    cfg: Config, name: str, pin_memory: bool, persist: bool
) -> None:
    """Give a data loader the defaults of its framework's tools, where they apply."""
    loader = cfg.get(name)
    if loader is None:
        return
    pinned = loader.get('pin_memory', get_device() != 'cpu')
    # torch refuses to let workers persist that do not exist
    persistent = loader.get('persistent_workers', True) and loader.get('num_workers', 0)
    # MMDetection and its like keep MMEngine's own default, which makes no batch tensor
    stacked = cfg.get('default_scope', 'mmpretrain') in ('mmpretrain', 'mmvitkd')
    collate = 'default_collate' if stacked else 'pseudo_collate'
    cfg[name] = {
        'collate_fn': {'type': collate},
        **loader,
        'pin_memory': pinned and pin_memory,
        'persistent_workers': bool(persistent and persist),
    }


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, distributed on CPUs as well."""
    allow_mmengine_globals()
    if cfg.launcher != 'none' and get_device() == 'cpu':
        _distribute_on_cpu(cfg)
    if 'runner_type' not in cfg:
        return Runner.from_cfg(cfg)
    _require_no_averaging(cfg)
    cfg.setdefault('env_cfg', {})  # FlexibleRunner has no default for it
    return RUNNERS.build(cfg)


def _require_no_averaging(cfg: Config) -> None:
    """Refuse what FlexibleRunner's checkpoints can't hold."""
    hooks = [str(hook.get('type')) for hook in cfg.get('custom_hooks') or []]
    if any('EMAHook' in hook for hook in hooks):
        raise ValueError(
            'EMAHook keeps a copy of a whole model, which FSDP and DeepSpeed do not '
            f'have: take it out of the custom_hooks {hooks}, and say so beside the '
            'result; or train with DDP, without the strategy'
        )


def _distribute_on_cpu(cfg: Config) -> None:
    """Do what MMEngine's launcher does for GPUs alone."""
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs GPUs; on CPUs start the processes with '
            'torchrun and --launcher pytorch, as tools/dist_train.sh does'
        )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    if 'runner_type' in cfg:  # FlexibleRunner's strategies wrap the model themselves
        return
    wrapper = {'type': 'MMDistributedDataParallel', **cfg.get('model_wrapper_cfg', {})}
    if wrapper['type'] == 'MMDistributedDataParallel':
        unused = cfg.get('find_unused_parameters', False)
        plain = {
            'device_ids': None,
            'broadcast_buffers': False,
            'find_unused_parameters': unused,
        }
        wrapper = {**plain, **wrapper}
    cfg.model_wrapper_cfg = wrapper


def require_fit(runner: Runner, path: str, ignore: str | None = None) -> None:
    """Load a checkpoint's weights into the runner's model, all or none.

    MMEngine's own loading, which follows, passes over what does not fit.

    Args:
        runner: With the model.
        path: File or URL of the checkpoint.
        ignore: Leave out the weights below this prefix. Defaults to None.

    Raises:
        ValueError: If any weight is missing, unknown, of another shape, or NaN.
    """
    if not isinstance(runner, Runner):  # FlexibleRunner, whose strategies load
        return
    weights = weights_of(load_checkpoint(path))
    if ignore is not None:
        weights = {k: v for k, v in weights.items() if not k.startswith(ignore)}
    require_finite(weights, f"checkpoint '{path}'")
    problems = load_strictly(unwrap(runner.model), weights)
    if problems:
        raise ValueError(
            f"checkpoint '{path}' does not fit the config's model. "
            + '\n'.join([_hint(unwrap(runner.model), list(weights)), *problems])
        )


def require_overlap(runner: Runner, path: str) -> None:
    """Refuse a checkpoint to begin with that has none of the model's weights, or NaN.

    Raises:
        ValueError: If so.
    """
    if not isinstance(runner, Runner):
        return
    model = unwrap(runner.model)
    weights = weights_of(load_checkpoint(path))
    require_finite(weights, f"load_from: checkpoint '{path}'")
    if not set(weights) & set(model.state_dict()):
        raise ValueError(
            f"load_from: checkpoint '{path}' has none of the model's weights. A "
            "distiller's begin with 'student.'; for those of a plain classifier set "
            "the student's init_cfg=dict(type='Pretrained', checkpoint=...)"
        )


def _hint(model: nn.Module, keys: list[str]) -> str:
    distiller, distilled = (
        any(key.startswith('student.') for key in names)
        for names in (model.state_dict(), keys)
    )
    if distilled and not distiller:
        return (
            'It is a distillation checkpoint: use the config that it was trained with, '
            'or export its student with tools/export_student.py.'
        )
    if distiller and not distilled:
        return "It is no distillation checkpoint: use its model's own plain config."
    return 'Is it of another config?'


def unwrap(model: nn.Module) -> nn.Module:
    """Take the model out of DDP's and test-time augmentation's wrappers."""
    inner: Any = model
    while is_model_wrapper(inner) or isinstance(inner, BaseTTAModel):
        inner = inner.module
    return inner


def say(lines: list[str]) -> None:
    """Print lines, in the first of the processes only."""
    if int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))) == 0:
        for line in lines:
            print(line, flush=True)


@contextmanager
def readable_errors() -> Iterator[None]:
    """End the program with a message where our own code found the user's mistake.

    Errors that others raised keep their traceback.
    """
    try:
        yield
    except (ValueError, FloatingPointError, ImportError) as error:
        cause: BaseException | None = error
        # registries raise an error of their own from ours
        while cause is not None and not _is_ours(cause.__traceback__):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        sys.exit(f'error: {cause}')


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether the innermost frame is in this package, the script or beside it."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    name = str(traceback.tb_frame.f_globals.get('__name__'))
    beside = Path(sys.argv[0]).resolve().parent
    file = Path(traceback.tb_frame.f_code.co_filename)
    return name.split('.')[0] in ('__main__', 'mmvitkd') or beside in file.parents


def random_teachers(model: ConfigDict) -> list[ConfigDict]:
    """Let no teacher of a distiller download its weights when it is built.

    Returns:
        Those that read any. Each needs a ``checkpoint`` then, whose name may be any
        until it is read.
    """
    found = []
    for teacher in (model.get('teachers') or {'': model.get('teacher') or {}}).values():
        own = teacher.get('cfg')
        own = own.get('model', own) if isinstance(own, dict) else {}
        if own.pop('pretrained', False) or teacher.get('checkpoint'):
            found.append(teacher)
    return found
