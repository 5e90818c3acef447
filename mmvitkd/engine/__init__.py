from .hooks import (
    CheckSegMapsHook,
    EpochSeedHook,
    SafeCheckpointHook,
    TermWeightHook,
)
from .optimizers import BackboneLayerDecayConstructor, Bfloat16OptimWrapper
from .strategies import DeepSpeedStrategy, FSDPStrategy

__all__ = [
    'BackboneLayerDecayConstructor',
    'Bfloat16OptimWrapper',
    'CheckSegMapsHook',
    'DeepSpeedStrategy',
    'EpochSeedHook',
    'FSDPStrategy',
    'SafeCheckpointHook',
    'TermWeightHook',
]
