from .hooks import (
    ActivationCheckpointingHook,
    CheckSegMapsHook,
    EpochSeedHook,
    SafeCheckpointHook,
    TermWeightHook,
)
from .optimizers import BackboneLayerDecayConstructor, Bfloat16OptimWrapper
from .strategies import DeepSpeedStrategy, FSDPStrategy

__all__ = [
    'ActivationCheckpointingHook',
    'BackboneLayerDecayConstructor',
    'Bfloat16OptimWrapper',
    'CheckSegMapsHook',
    'DeepSpeedStrategy',
    'EpochSeedHook',
    'FSDPStrategy',
    'SafeCheckpointHook',
    'TermWeightHook',
]
