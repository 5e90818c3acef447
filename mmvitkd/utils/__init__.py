from .checkpoint import (
    allow_mmengine_globals,
    load_checkpoint,
    load_strictly,
    weights_of,
)

__all__ = [
    'allow_mmengine_globals',
    'load_checkpoint',
    'load_strictly',
    'weights_of',
]
