"""Values that no run can have, found before anything is built."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mmengine.config import Config

from .errors import ConfigError
from .spelling import suggest

# the least that a number may be
LEAST = {
    'train_cfg.max_epochs': 1,
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1,
    'train_cfg.val_begin': 0,
}
SCOPES = ('mmvitkd', 'mmpretrain', 'mmengine', 'mmdet', 'mmseg', 'mmpose')
LOADERS = {'batch_size': 1, 'num_workers': 0}


def check_values(cfg: Config) -> None:
    """Refuse numbers of loops and data loaders that make no run.

    Raises:
        ConfigError: If there are any, or the config has no model.
    """
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(
            f"config '{cfg.filename}' has no model: it needs model = dict(type=...), "
            'its own or by _base_'
        )
    scope = cfg.get('default_scope')
    if scope is not None and (not isinstance(scope, str) or find_spec(scope) is None):
        hint = suggest(str(scope), SCOPES)
        raise ConfigError(f'default_scope={scope!r}: no such package is there{hint}')
    least = dict(LEAST)
    for split in ('train', 'val', 'test'):
        least |= {f'{split}_dataloader.{k}': v for k, v in LOADERS.items()}
    for place, bound in least.items():
        section, key = place.split('.')
        held = cfg.get(section)
        value = None if held is None else held.get(key)
        if value is not None and not _is_count(value, bound):
            raise ConfigError(
                f'{place}={value!r}: it must be a whole number of at least {bound}'
            )


def check_schedulers(cfg: Config) -> None:
    """Refuse a schedule that begins when training is over.

    Raises:
        ConfigError: If there is one, such as after a warm-up that is longer than a
            trial run.
    """
    loop = cfg.get('train_cfg') or {}
    given = cfg.get('param_scheduler')
    for number, scheduler in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(scheduler, dict):
            continue
        by_epoch = scheduler.get('by_epoch', True)
        key = 'max_epochs' if by_epoch else 'max_iters'
        unit = 'epoch' if by_epoch else 'iteration'
        place = 'param_scheduler' + (f'.{number}' if isinstance(given, list) else '')
        begin = scheduler.get('begin', 0)
        end = scheduler.get('end', loop.get(key))
        if not isinstance(begin, (int, float)) or not isinstance(end, (int, float)):
            continue
        if begin >= end:
            over = 'ends itself' if 'end' in scheduler else 'training ends'
            raise ConfigError(
                f'{place} begins at {unit} {begin}, but {over} at {unit} {end}: train '
                f'longer (train_cfg.{key}), or shorten what comes before it, such as '
                'a warm-up; train --try tries a few steps with the whole schedule'
            )


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
