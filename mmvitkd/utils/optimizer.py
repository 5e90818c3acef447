"""How a config's optimiser is built."""

from typing import Any

from mmengine.config import Config

from mmvitkd.registry import OPTIMIZERS

from .types import class_of

MERGED = 'mmvitkd.MergedGroupsConstructor'
# these give every parameter the same settings
SAME_SETTINGS = ('absent', 'DefaultOptimWrapperConstructor', MERGED)


def merge_groups(cfg: Config) -> None:
    """Have a run's optimiser go through parameters of the same settings together.

    Only torch's own optimisers are known to treat every parameter by itself; a
    constructor that the config names, and what FlexibleRunner's strategies build, stay
    as they are.
    """
    wrapper: Any = cfg.get('optim_wrapper') or {}
    if 'runner_type' in cfg or not wrapper.get('paramwise_cfg'):
        return
    optimizer = class_of((wrapper.get('optimizer') or {}).get('type'), OPTIMIZERS)
    if getattr(optimizer, '__module__', '').startswith('torch.optim.'):
        wrapper.setdefault('constructor', MERGED)
