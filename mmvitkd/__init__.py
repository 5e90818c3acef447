"""ViTKD and its neighbours: distillation of vision transformers for MMPretrain."""

from .version import __version__

__all__ = ['__version__']
