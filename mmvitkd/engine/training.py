"""What ``python -m mmvitkd train`` does."""

import argparse
import inspect
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from mmvitkd.datasets.fast import speed_up_data
from mmvitkd.datasets.pipeline_size import pipeline_size
from mmvitkd.heartbeat import describing
from mmvitkd.models import ViTKDDistiller
from mmvitkd.models.classifiers.teacher import task_of_config
from mmvitkd.registry import MODELS, OPTIM_WRAPPERS, SCOPE
from mmvitkd.utils import cli
from mmvitkd.utils.cli import (
    check_checkpoint,
    complete_dataloader,
    join_processes,
    load_config,
    print_rank0,
    require_overlap,
    uses_strategy,
)
from mmvitkd.utils.console import brief_console
from mmvitkd.utils.hooks import complete_hooks
from mmvitkd.utils.needs import check_needs
from mmvitkd.utils.optimizer import merge_groups
from mmvitkd.utils.run_lock import lock_dir_together
from mmvitkd.utils.types import class_of
from mmvitkd.utils.work_dir import claim_work_dir

from .downstream_checks import (
    bfloat16_in_words,
    check_training,
    trains_in_bfloat16,
)
from .hooks import OverviewHook, ResumeOptimHook
from .slow_bfloat16 import slow_bfloat16, uses_bfloat16
from .trial import try_out


def train(args: argparse.Namespace) -> None:
    """Train by a config.

    Args:
        args: As the command reads them.
    """
    cfg = load_config(args)
    apply_args(cfg, args)
    complete_hooks(cfg)
    check_needs(cfg)
    check_training(cfg)
    merge_groups(cfg)
    join_processes(cfg)
    print_rank0(slow_bfloat16(uses_bfloat16(cfg)))
    if args.trial:
        with bfloat16_in_words(trains_in_bfloat16(cfg)):
            try_out(cfg)
        return
    with lock_dir_together(Path(cfg.work_dir)):
        _train_in_work_dir(cfg, args.override_optim)


def apply_args(cfg: Config, args: argparse.Namespace) -> None:
    """Change a config as the command line says."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        enable_amp(cfg)
    if args.fast_data is not None:
        speed_up_data(cfg, args.fast_data)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.override_optim:
        require_override(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr needs the batch that the learning rate belongs to: '
                'auto_scale_lr = dict(base_batch_size=...) in the config'
            )
        cfg.auto_scale_lr.enable = True
    if 'runner_type' in cfg and cfg.get('data_preprocessor') is not None:
        # as FlexibleRunner does later, so that resuming sees no other model
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        complete_dataloader(
            cfg, name, not args.no_pin_memory, not args.no_persistent_workers
        )
    set_input_size(cfg)


def set_input_size(cfg: Config) -> None:
    """Tell a distiller how large the images of its training are, unless it is told."""
    kind = class_of(cfg.model.get('type'), MODELS)
    if not (isinstance(kind, type) and issubclass(kind, ViTKDDistiller)):
        return
    if 'input_size' not in inspect.signature(kind).parameters:  # of a user's own
        return
    scope = cfg.get('default_scope', SCOPE)
    student = cfg.model.get('student')
    if isinstance(student, dict) and task_of_config(student, scope).sides:
        return  # any size will do
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    if dataset is None or cfg.model.get('input_size') is not None:
        return
    size = pipeline_size(dataset, scope)
    if size is not None:
        cfg.model.input_size = size


def enable_amp(cfg: Config) -> None:
    """Replace the plain optimiser wrapper by one of mixed precision."""
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if class_of(kind, OPTIM_WRAPPERS) not in (OptimWrapper, AmpOptimWrapper):
        raise ValueError(
            f"--amp replaces an OptimWrapper, but the config's is a {kind}: leave out "
            'one of them'
        )
    if get_device() == 'cpu':
        wrapper.type = 'mmvitkd.Bfloat16OptimWrapper'
        wrapper.pop('loss_scale', None)
        wrapper.pop('dtype', None)
    else:
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def require_override(cfg: Config) -> None:
    """Refuse ``--override-optim`` where there is nothing that it could override."""
    if not cfg.get('resume'):
        raise ValueError('--override-optim belongs to --resume')
    if uses_strategy(cfg, 'FSDP', 'DeepSpeed'):
        raise ValueError(
            '--override-optim: FSDP and DeepSpeed keep the state of the optimiser in '
            'pieces, with its settings: resume without it, or begin a new run with the '
            'weights of an export'
        )


def _train_in_work_dir(cfg: Config, override_optim: bool) -> None:
    """Train into a work dir that no other run uses meanwhile."""
    print_rank0(claim_work_dir(cfg, override_optim))
    with brief_console():
        runner = cli.build_runner(cfg)
    runner.register_hook(OverviewHook())
    if cfg.get('resume'):
        runner.register_hook(ResumeOptimHook(override_optim))
        check_checkpoint(runner, cfg.load_from)
    elif cfg.get('load_from'):
        require_overlap(runner, cfg.load_from)
    in_words = bfloat16_in_words(trains_in_bfloat16(cfg))
    with in_words, describing(partial(step_of, runner)):
        runner.train()


def step_of(runner: Any) -> str:
    """Tell how far a training is; nothing before it has begun."""
    step = min(runner.iter + 1, runner.max_iters)
    return f'step {step} of {runner.max_iters}' if step else ''
