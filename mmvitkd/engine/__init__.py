from .hooks import EpochSeedHook, SafeCheckpointHook
from .optimizers import Bfloat16OptimWrapper

__all__ = ['Bfloat16OptimWrapper', 'EpochSeedHook', 'SafeCheckpointHook']
