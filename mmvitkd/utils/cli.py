"""What ``tools/train.py`` and ``tools/test.py`` share."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed
from mmengine.hooks import EMAHook
from mmengine.model import (
    BaseTTAModel,
    MMDistributedDataParallel,
    is_model_wrapper,
)
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from torch import nn

from mmvitkd.registry import HOOKS, MODEL_WRAPPERS, STRATEGIES

from .checkpoint import load_checkpoint, load_strictly, weights_of
from .config_check import read_config
from .config_values import check_schedulers, check_values
from .errors import ConfigError, readable_errors  # noqa: F401
from .finite import require_finite
from .safe_loading import read_weights_only
from .types import class_of, is_kind, name_of


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and apply ``--cfg-options``, ``--launcher``, ``--work-dir``.

    Raises:
        ConfigError: If it can't be read, or a setting of it can't be right.
    """
    try:
        cfg = read_config(args.config, args.cfg_options)
        check_values(cfg)
        check_schedulers(cfg)
    except ValueError as error:
        raise ConfigError(str(error)) from error
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
    """Build the runner that the config asks for, distributed on CPUs as well.

    Args:
        cfg: Of which :func:`~mmvitkd.utils.hooks.complete_hooks` has seen the hooks.
    """
    read_weights_only()
    join_processes(cfg)
    if 'runner_type' not in cfg:
        return Runner.from_cfg(cfg)
    _require_no_averaging(cfg)
    cfg.setdefault('env_cfg', {})  # FlexibleRunner has no default for it
    return RUNNERS.build(cfg)


def _require_no_averaging(cfg: Config) -> None:
    """Refuse what FlexibleRunner's checkpoints can't hold."""
    averaging = [
        hook
        for hook in cfg.get('custom_hooks') or []
        if is_kind(hook.get('type'), EMAHook, HOOKS)
    ]
    if averaging:
        raise ValueError(
            'EMAHook keeps a copy of a whole model, which FSDP and DeepSpeed do not '
            f'have: take {averaging} out of the custom_hooks, and say so beside the '
            'result; or train with DDP, without the strategy'
        )


def _let_ddp_find_unused(cfg: Config) -> list[str]:
    """Tell DDP that a step may leave parameters out, where no label is learnt from.

    Without the student's own loss nothing trains what lies behind the last tap, such as
    its head; DDP would wait for their gradients. A user's own setting stays.

    Returns:
        What to say.
    """
    key = 'find_unused_parameters'
    wrapper = cfg.get('model_wrapper_cfg') or {}
    kind = name_of(wrapper.get('type', 'MMDistributedDataParallel'))
    if (
        'runner_type' in cfg  # FlexibleRunner's strategies wrap the model themselves
        or kind != 'MMDistributedDataParallel'
        or key in cfg
        or key in wrapper
        or not _leaves_out_labels(cfg)
    ):
        return []
    if wrapper:
        cfg.model_wrapper_cfg[key] = True
    else:
        cfg[key] = True
    return [
        'task_weight is 0, or becomes 0: find_unused_parameters=True, so that DDP does '
        "not wait for the gradients of what no term reaches, such as the student's head"
    ]


def _leaves_out_labels(cfg: Config) -> bool:
    """Whether the weight of the student's own loss is 0 at any time."""
    if cfg.get('model', {}).get('task_weight', 1) == 0:
        return True
    for hook in cfg.get('custom_hooks') or []:
        schedule = hook.get('task_weight')
        if isinstance(schedule, dict) and name_of(hook.get('type')) == 'TermWeightHook':
            # the defaults of TermWeightHook's kinds
            keys = {'start_factor': 0, 'end_factor': 1}
            keys = {'factor_after': 0} if schedule.get('kind') == 'stop' else keys
            if any(schedule.get(k, default) == 0 for k, default in keys.items()):
                return True
    return False


def join_processes(cfg: Config) -> None:
    """Let the processes of a distributed run know each other, on CPUs as well.

    MMEngine's runners do it for GPUs; whoever must settle something between the
    processes before there is a runner does it here.

    Raises:
        ValueError: If the launcher can't start processes on CPUs.
    """
    if cfg.get('launcher', 'none') == 'none':
        return
    started = is_distributed() or 'RANK' in os.environ
    if cfg.launcher == 'pytorch' and not started:
        raise ValueError(
            '--launcher pytorch is for processes that torchrun starts, and RANK is not '
            'set: start it by tools/dist_train.sh, or leave it out'
        )
    print_rank0(_let_ddp_find_unused(cfg))
    if get_device() == 'cpu':
        _distribute_on_cpu(cfg)
    elif not is_distributed():
        env = cfg.get('env_cfg') or {}
        set_multi_processing(**env.get('mp_cfg', {}), distributed=True)
        by = {'init_backend': 'deepspeed'} if uses_strategy(cfg, 'DeepSpeed') else {}
        init_dist(cfg.launcher, **{**env.get('dist_cfg', {}), **by})


def uses_strategy(cfg: Config, *names: str) -> bool:
    """Whether the config trains by one of these strategies, or by a subclass."""
    kind = class_of((cfg.get('strategy') or {}).get('type'), STRATEGIES)
    kinds = kind.__mro__ if isinstance(kind, type) else ()
    return any(base.__name__ == f'{name}Strategy' for base in kinds for name in names)


def _distribute_on_cpu(cfg: Config) -> None:
    """Do what MMEngine's launcher does only for GPUs."""
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs GPUs; on CPUs start the processes with '
            'torchrun and --launcher pytorch, as tools/dist_train.sh does'
        )
    if not is_distributed():
        torch.distributed.init_process_group('gloo')
    if 'runner_type' in cfg:  # FlexibleRunner's strategies wrap the model themselves
        return
    wrapper = {'type': 'MMDistributedDataParallel', **cfg.get('model_wrapper_cfg', {})}
    kind = class_of(wrapper['type'], MODEL_WRAPPERS)
    if kind is MMDistributedDataParallel:
        unused = cfg.get('find_unused_parameters', False)
        plain = {
            'device_ids': None,
            'broadcast_buffers': False,
            'find_unused_parameters': unused,
        }
        wrapper = {**plain, **wrapper}
    cfg.model_wrapper_cfg = wrapper


def check_checkpoint(runner: Runner, path: str, ignore: str | None = None) -> None:
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


def device_of(name: str | None, local_rank: int) -> torch.device:
    """Choose the device: the one that is named, else the process's GPU, else the CPU.

    Raises:
        ValueError: If it does not exist.
    """
    if name is None:
        name = f'cuda:{local_rank}' if torch.cuda.is_available() else 'cpu'
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'--device {name}: {reason}') from error
    return torch.device(name)


def print_rank0(lines: list[str]) -> None:
    """Print lines, in the first of the processes only."""
    if int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0'))) == 0:
        for line in lines:
            print(line, flush=True)


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
