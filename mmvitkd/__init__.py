"""ViTKD and its neighbours: distillation of vision transformers for MMPretrain."""

from .config_lookup import complete_modules
from .version import __version__

complete_modules()

__all__ = ['__version__']
