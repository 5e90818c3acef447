from .hooks import (
    ActivationCheckpointingHook,
    BlockSkippingHook,
    CheckSegMapsHook,
    CorruptionHook,
    DistillationCheckHook,
    DistillationMonitorHook,
    ExactResumeHook,
    ImageCheckHook,
    LabelCheckHook,
    ResumeOptimHook,
    SafeCheckpointHook,
    StudentViewHook,
    TermWeightHook,
)
from .optimizers import (
    BackboneLayerDecayConstructor,
    Bfloat16OptimWrapper,
    LayerDecay,
    LayerDecayConstructor,
)
from .strategies import DeepSpeedStrategy, FSDPStrategy

__all__ = [
    'ActivationCheckpointingHook',
    'BackboneLayerDecayConstructor',
    'Bfloat16OptimWrapper',
    'BlockSkippingHook',
    'CheckSegMapsHook',
    'CorruptionHook',
    'DeepSpeedStrategy',
    'DistillationCheckHook',
    'DistillationMonitorHook',
    'ExactResumeHook',
    'FSDPStrategy',
    'ImageCheckHook',
    'LabelCheckHook',
    'LayerDecay',
    'LayerDecayConstructor',
    'ResumeOptimHook',
    'SafeCheckpointHook',
    'StudentViewHook',
    'TermWeightHook',
]
