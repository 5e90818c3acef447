from .deit3 import DeiT3
from .vitdet import ViTDet

__all__ = ['DeiT3', 'ViTDet']
