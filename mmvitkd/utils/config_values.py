"""Values that no run can have, found before anything is built."""

from __future__ import annotations

import math
from importlib.util import find_spec
from os import PathLike
from typing import Any

import torch
from mmengine.config import Config

from .config_file import require_model
from .config_names import walk
from .errors import ConfigError
from .spelling import is_slip, suggest
from .types import name_of

# the least that a number may be
LEAST = {
    'train_cfg.max_epochs': 1,
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1,
    'train_cfg.val_begin': 0,
}
SCOPES = ('mmvitkd', 'mmpretrain', 'mmengine', 'mmdet', 'mmseg', 'mmpose')
# which may be None, where others say it
UNSET = ('batch_size', 'max_epochs', 'max_iters')
LOADERS = {'batch_size': 1, 'num_workers': 0}


def check_values(cfg: Config) -> None:
    """Refuse numbers of loops, data loaders and pixels that make no run.

    Raises:
        ConfigError: If there are any, or the config has no model.
    """
    require_model(cfg)
    scope = cfg.get('default_scope')
    there = isinstance(scope, str) and scope.isidentifier() and find_spec(scope)
    if scope is not None and not there:
        hint = suggest(str(scope), SCOPES)
        raise ConfigError(f'default_scope={scope!r}: no such package is there{hint}')
    _check_counts(cfg)
    for split in ('train', 'val', 'test'):
        _require_dataset(f'{split}_dataloader', cfg.get(f'{split}_dataloader'))
    _check_kinds(cfg)
    _check_pixels(cfg.get('data_preprocessor') or {}, 'data_preprocessor')
    for place, part in walk(cfg.get('model'), 'model'):
        if place.endswith('.data_preprocessor') and isinstance(part, dict):
            _check_pixels(part, place)
        if isinstance(part, dict) and isinstance(part.get('layer'), (str, list)):
            _check_layers(part['layer'], f'{place}.layer')


def _check_counts(cfg: Config) -> None:
    """Refuse counts that make no run."""
    least = dict(LEAST)
    for split in ('train', 'val', 'test'):
        least |= {f'{split}_dataloader.{k}': v for k, v in LOADERS.items()}
    for place, bound in least.items():
        section, key = place.split('.')
        held = cfg.get(section) or {}
        value = held.get(key)
        unset = value is None and (key not in held or key in UNSET)
        if not unset and not _is_count(value, bound):
            raise ConfigError(
                f'{place}={value!r}: it must be a whole number of at least {bound}'
            )
    loop = cfg.get('train_cfg') or {}
    begin = loop.get('val_begin') or 0
    last = loop.get('max_epochs') or loop.get('max_iters')
    if last is not None and begin > last and cfg.get('val_dataloader') is not None:
        raise ConfigError(
            f'train_cfg.val_begin={begin}: training ends at {last}, before the first '
            'validation'
        )


def _require_dataset(place: str, loader: dict[str, Any] | None) -> None:
    if loader is not None and loader.get('dataset') is None:
        slips = [key for key in loader if is_slip(key, ['dataset'])]
        hint = f": is '{slips[0]}' a misspelt one?" if slips else ''
        raise ConfigError(f'{place} has no dataset{hint}')


def _check_kinds(cfg: Config) -> None:
    """Refuse what is no number, and what is taken for true whatever it says."""
    for key in cfg:
        for place, value in walk(cfg[key], key):
            if isinstance(value, float) and math.isnan(value):
                raise ConfigError(f'{place}={value}: that is no number')
    for key in ('work_dir', 'load_from'):
        if not isinstance(cfg.get(key), (str, PathLike, type(None))):
            raise ConfigError(f'{key}={cfg[key]!r}: it must be a path')
    if not isinstance(cfg.get('log_level', 'INFO'), (str, int)):
        raise ConfigError(f"log_level={cfg.log_level!r}: it is one such as 'INFO'")
    if not isinstance(cfg.get('resume', False), bool):
        raise ConfigError(f'resume={cfg.resume!r}: it must be True or False')
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    for key in ('lr', 'weight_decay'):
        value = optimizer.get(key)
        if value is not None and not _is_number(value):
            raise ConfigError(
                f'optim_wrapper.optimizer.{key}={value!r}: it must be a number'
            )


def _check_pixels(preprocessor: dict[str, Any], place: str) -> None:
    """Refuse means and deviations that no pixels have."""
    given = {key: preprocessor.get(key) for key in ('mean', 'std')}
    for key, values in given.items():
        if values is None:
            continue
        low = 0 if key == 'std' else -math.inf
        listed = isinstance(values, (list, tuple)) and values
        if not listed or not all(_is_number(v) and v > low for v in values):
            above = ' above 0' if key == 'std' else ''
            raise ConfigError(
                f'{place}.{key}={values!r}: it must be a list of numbers{above}, '
                'one for each channel'
            )
    lengths = {len(v) for v in given.values() if isinstance(v, (list, tuple))}
    if len(lengths) > 1:
        raise ConfigError(
            f'{place}: mean={given["mean"]!r} and std={given["std"]!r} have not the '
            'same number of channels'
        )


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _check_layers(layers: str | list[Any], place: str) -> None:
    """Refuse kinds of layers to initialise that have a letter wrong: there are none."""
    for layer in [layers] if isinstance(layers, str) else layers:
        known = dir(torch.nn)
        if isinstance(layer, str) and layer not in known and is_slip(layer, known):
            raise ConfigError(
                f"{place}='{layer}': there is no such kind of layer"
                f'{suggest(layer, known)}'
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
        place = 'param_scheduler' + (f'.{number}' if isinstance(given, list) else '')
        if by_epoch and not scheduler.get('convert_to_iter_based') and is_by_iter(loop):
            raise ConfigError(
                f'{place} goes by epochs, but training by iterations, in which no '
                'epoch ends: give it by_epoch=False, and begin and end in iterations'
            )
        low = scheduler.get('eta_min', 0)
        if _is_number(low) and low < 0:
            raise ConfigError(f'{place}.eta_min={low}: no rate is below 0')
        key = 'max_epochs' if by_epoch else 'max_iters'
        unit = 'epoch' if by_epoch else 'iteration'
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


def is_by_iter(loop: dict[str, Any]) -> bool:
    """Whether a ``train_cfg`` is that of a loop by iterations."""
    kind = name_of(loop.get('type')) if 'type' in loop else ''
    return kind == 'IterBasedTrainLoop' or loop.get('by_epoch') is False


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
