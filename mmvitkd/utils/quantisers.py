"""Names of what a student has, beside its weights, while it is trained in INT8."""

from collections.abc import Mapping
from typing import Any

QUANTISER = 'input_quantiser'  # a module of every quantised layer


def is_quantiser(key: str) -> bool:
    """Whether a name in a checkpoint is of a quantiser's state."""
    return QUANTISER in key.split('.')


def starts_trained(model: Mapping[str, Any]) -> bool:
    """Whether a model's config names weights that it begins with, in any part."""
    init = model.get('init_cfg')
    several = init if isinstance(init, (list, tuple)) else [init]
    if model.get('pretrained') or any(one and 'checkpoint' in one for one in several):
        return True
    parts = [part for part in model.values() if isinstance(part, Mapping)]
    return any(starts_trained(part) for part in parts)
