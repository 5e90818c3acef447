"""What a detector can't be trained or tested with, told before it is built."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device

from mmvitkd.registry import OPTIM_WRAPPERS
from mmvitkd.utils.config_names import walk
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.types import class_of, name_of

from .optimizers import Bfloat16OptimWrapper

ADVICE = (
    'which mixed precision is on CPUs: leave out --amp (or Bfloat16OptimWrapper), or '
    'use a GPU'
)


def check_training(cfg: Config) -> None:
    """Refuse what would end a detector's training in its first step.

    Raises:
        ConfigError: If there is such a setting.
    """
    if cfg.get('default_scope') != 'mmdet':
        return
    if trains_in_bfloat16(cfg):
        check_bfloat16(cfg)
    _check_masks(cfg)


def student_of(cfg: Config) -> tuple[str, Any]:
    """Return a run's detector and its place in the config: a distiller's student."""
    student = cfg.model.get('student')
    return ('model', cfg.model) if student is None else ('model.student', student)


def trains_in_bfloat16(cfg: Config) -> bool:
    """Whether it does, by our wrapper: so ``--amp`` has it on CPUs."""
    wrapper = cfg.get('optim_wrapper') or {}
    return class_of(wrapper.get('type'), OPTIM_WRAPPERS) is Bfloat16OptimWrapper


def check_bfloat16(cfg: Config) -> None:
    """Refuse mixed precision on CPUs, bfloat16, for a detector that pools by mmcv.

    Raises:
        ConfigError: If it has such a part.
    """
    if get_device() != 'cpu':
        return
    path, model = student_of(cfg)
    for place, value in walk(model.get('roi_head'), f'{path}.roi_head'):
        if place.endswith('.type') and name_of(value) == 'RoIAlign':
            raise ConfigError(f"{place}: mmcv's RoIAlign takes no bfloat16, {ADVICE}")


@contextmanager
def bfloat16_in_words(asked: bool) -> Iterator[None]:
    """Tell in words where another operation takes no bfloat16, as some ways to NMS.

    Args:
        asked: Whether mixed precision was asked for; other errors are left alone.

    Raises:
        ConfigError: If one did not.
    """
    try:
        yield
    except RuntimeError as error:
        if not asked or get_device() != 'cpu' or 'BFloat16' not in str(error):
            raise
        raise ConfigError(
            f'an operation of the model takes no bfloat16 ({error}), {ADVICE}'
        ) from error


def _check_masks(cfg: Config) -> None:
    """Refuse masks for RTMDet's head of boxes.

    Its assigner takes whatever masks there are as tensors, into which only RTMDet-Ins
    turns them.
    """
    _, model = student_of(cfg)
    train_cfg = model.get('train_cfg') or {}
    assigner = (train_cfg.get('assigner') or {}).get('type', '')
    head = name_of((model.get('bbox_head') or {}).get('type', ''))
    if name_of(assigner) != 'DynamicSoftLabelAssigner' or head.startswith('RTMDetIns'):
        return
    for name in ('train_dataloader', 'custom_hooks'):  # which may switch pipelines
        for place, part in walk(cfg.get(name), name):
            if isinstance(part, dict) and part.get('with_mask'):
                raise ConfigError(
                    f'{place}.with_mask=True: {head} learns only boxes, and its '
                    'DynamicSoftLabelAssigner fails on masks: set with_mask=False, and '
                    "metric='bbox' in the evaluators"
                )
