from .hooks import (
    ActivationCheckpointingHook,
    CheckSegMapsHook,
    DistillationCheckHook,
    DistillationMonitorHook,
    ExactResumeHook,
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
    'DistillationCheckHook',
    'DistillationMonitorHook',
    'ExactResumeHook',
    'FSDPStrategy',
    'SafeCheckpointHook',
    'TermWeightHook',
]
