from .hooks import EpochSeedHook, SafeCheckpointHook, TermWeightHook
from .optimizers import Bfloat16OptimWrapper

__all__ = [
    'Bfloat16OptimWrapper',
    'EpochSeedHook',
    'SafeCheckpointHook',
    'TermWeightHook',
]
