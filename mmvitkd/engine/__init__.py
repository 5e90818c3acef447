from .hooks import EpochSeedHook, SafeCheckpointHook, TermWeightHook
from .optimizers import BackboneLayerDecayConstructor, Bfloat16OptimWrapper

__all__ = [
    'BackboneLayerDecayConstructor',
    'Bfloat16OptimWrapper',
    'EpochSeedHook',
    'SafeCheckpointHook',
    'TermWeightHook',
]
