"""Take a method's training over to other data: what it changes, changed there."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config

MISSING = object()


def is_written_for(cfg: Config, original: Config) -> bool:
    """Whether a training reads the data set that another one reads."""
    return _dataset(cfg) == _dataset(original)


def transfer(cfg: Config, original: Config, target: Config) -> Config:
    """Change one training as another one was changed to make a method of it.

    Args:
        cfg: The method's training.
        original: That of its student without distillation, on the same data.
        target: That of a student without distillation, on other data.

    Returns:
        The method's training on the other data. Where ``cfg`` and ``original`` agree,
        it is ``target``'s; where they differ, ``cfg``'s. A distiller's student is
        compared with the student; its terms and teachers are the method's.
    """
    ours, theirs, base = (deepcopy(one.to_dict()) for one in (cfg, original, target))
    models = [one.pop('model') for one in (ours, theirs, base)]
    result = _changed(ours, theirs, base)
    if 'student' in models[0]:
        student = _changed(models[0]['student'], *models[1:])
        result['model'] = {**models[0], 'student': student}
    else:
        result['model'] = _changed(*models)
    return Config(result)


def _changed(ours: Any, theirs: Any, base: Any) -> Any:
    """Return ``base`` with what distinguishes ``ours`` from ``theirs``."""
    if ours == theirs:
        return base
    if not all(isinstance(one, Mapping) for one in (ours, theirs, base)):
        return ours
    result = {}
    for key in {**base, **ours}:  # in the order of both
        mine, old = ours.get(key, MISSING), theirs.get(key, MISSING)
        new = base.get(key, MISSING)
        if mine is not MISSING and old is not MISSING and new is not MISSING:
            result[key] = _changed(mine, old, new)
        elif mine == old:  # unchanged, or in neither of them
            if new is not MISSING:
                result[key] = new
        elif mine is not MISSING:
            result[key] = mine
    return result


def _dataset(cfg: Config) -> Any:
    loader = cfg.get('train_dataloader') or {}
    return (loader.get('dataset') or {}).get('type')
