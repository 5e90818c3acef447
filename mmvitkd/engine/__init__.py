from .hooks import (
    CheckSegMapsHook,
    EpochSeedHook,
    SafeCheckpointHook,
    TermWeightHook,
)
from .optimizers import BackboneLayerDecayConstructor, Bfloat16OptimWrapper

__all__ = [
    'BackboneLayerDecayConstructor',
    'Bfloat16OptimWrapper',
    'CheckSegMapsHook',
    'EpochSeedHook',
    'SafeCheckpointHook',
    'TermWeightHook',
]
