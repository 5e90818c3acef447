from .checkpoint import (
    allow_mmengine_globals,
    load_checkpoint,
    load_strictly,
    weights_of,
)
from .registration import register_all_modules

__all__ = [
    'allow_mmengine_globals',
    'load_checkpoint',
    'load_strictly',
    'register_all_modules',
    'weights_of',
]
