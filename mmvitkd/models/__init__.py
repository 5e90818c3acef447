from .backbones import DeiT3
from .classifiers import Teacher, ViTKDDistiller
from .losses import KDLoss, NKDLoss, ViTKDGenLoss, ViTKDMimicLoss
from .necks import ConvGenerativeProjector, LinearProjector

__all__ = [
    'ConvGenerativeProjector',
    'DeiT3',
    'KDLoss',
    'LinearProjector',
    'NKDLoss',
    'Teacher',
    'ViTKDDistiller',
    'ViTKDGenLoss',
    'ViTKDMimicLoss',
]
