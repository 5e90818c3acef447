"""Train by a config: a distiller, or a teacher or student alone."""

import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from mmvitkd.engine.hooks import ResumeOptimHook
from mmvitkd.registry import OPTIM_WRAPPERS
from mmvitkd.utils.cli import (
    add_shared_arguments,
    build_runner,
    complete_dataloader,
    join_processes,
    load_config,
    readable_errors,
    require_fit,
    require_overlap,
    say,
    uses_strategy,
)
from mmvitkd.utils.hooks import complete_hooks
from mmvitkd.utils.run_lock import own_folder_together
from mmvitkd.utils.types import class_of
from mmvitkd.utils.work_dir import claim_work_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of the config')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints, which must hold no other run. '
        'Default: work_dirs/<name of the config>',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without one, from the newest in the work dir '
        'that can be read, or from the beginning if there is none',
    )
    parser.add_argument(
        '--override-optim',
        action='store_true',
        help="resume with the config's learning rate, weight decay and the like, and "
        "its schedules, instead of the checkpoint's; the optimiser's state stays",
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 with loss scaling, on CPUs bfloat16',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help="don't validate during training"
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's auto_scale_lr.base_batch_size "
        'to the batch of all processes',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help="don't keep the data loaders' workers between the epochs",
    )
    add_shared_arguments(parser)
    return parser.parse_args()


def apply_args(cfg: Config, args: argparse.Namespace) -> None:
    """Change a config as the command line says."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        enable_amp(cfg)
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


def train(cfg: Config, override_optim: bool) -> None:
    """Train into a work dir that no other run uses meanwhile."""
    say(claim_work_dir(cfg, override_optim))
    runner = build_runner(cfg)
    if cfg.get('resume'):
        runner.register_hook(ResumeOptimHook(override_optim))
        require_fit(runner, cfg.load_from)
    elif cfg.get('load_from'):
        require_overlap(runner, cfg.load_from)
    runner.train()


def main() -> None:
    args = parse_args()
    with readable_errors():
        cfg = load_config(args)
        apply_args(cfg, args)
        complete_hooks(cfg)
        join_processes(cfg)
        with own_folder_together(Path(cfg.work_dir)):
            train(cfg, args.override_optim)


if __name__ == '__main__':
    main()
