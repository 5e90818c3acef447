"""Train by a config: a distiller, or a teacher or student alone."""

import argparse

from mmengine.config import Config
from mmengine.device import get_device

from mmvitkd.utils.cli import (
    add_shared_arguments,
    build_runner,
    complete_dataloader,
    load_config,
    readable_errors,
    require_fit,
    require_overlap,
    say,
)
from mmvitkd.utils.work_dir import claim_work_dir

# what watches a distillation, by its names in default_hooks
WATCHING = {'check': 'DistillationCheckHook', 'monitor': 'DistillationMonitorHook'}


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
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
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


def add_hooks(cfg: Config) -> None:
    """Make the run resume exactly, its checkpoints survive a kill, and watch it."""
    custom = list(cfg.get('custom_hooks') or [])
    saving = {'type': 'CheckpointHook', 'interval': 1}  # the runner's own default
    hooks = {'checkpoint': saving, **cfg.get('default_hooks', {})}
    saving = hooks['checkpoint']
    if saving and saving.get('type', 'CheckpointHook') == 'CheckpointHook':
        hooks['checkpoint'] = {**saving, 'type': 'mmvitkd.SafeCheckpointHook'}
    if (given := hooks.pop('resume', {})) not in (None, False):
        hooks['resume'] = {'type': 'mmvitkd.ExactResumeHook', **given}
    for name, kind in WATCHING.items():
        given = hooks.pop(name, {})
        own = any(kind in str(hook.get('type')) for hook in custom)
        # None takes it away; MMEngine knows that of its own hooks alone
        if cfg.model.get('terms') and given not in (None, False) and not own:
            hooks[name] = {'type': f'mmvitkd.{kind}', **given}
    cfg.default_hooks = hooks


def main() -> None:
    args = parse_args()
    with readable_errors():
        cfg = load_config(args)
        apply_args(cfg, args)
        add_hooks(cfg)
        say(claim_work_dir(cfg))
        runner = build_runner(cfg)
        if cfg.get('resume'):
            require_fit(runner, cfg.load_from)
        elif cfg.get('load_from'):
            require_overlap(runner, cfg.load_from)
        runner.train()


if __name__ == '__main__':
    main()
