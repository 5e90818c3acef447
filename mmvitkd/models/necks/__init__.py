from .conv_generative_projector import ConvGenerativeProjector
from .linear_projector import LinearProjector

__all__ = ['ConvGenerativeProjector', 'LinearProjector']
