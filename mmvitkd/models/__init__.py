# ruff: noqa: F403
from mmvitkd.utils.safe_loading import read_weights_only

# Every folder has its own __all__, the one list of what it exports.
from . import backbones, classifiers, heads, initializers, losses, necks, preprocessors
from .backbones import *
from .classifiers import *
from .heads import *
from .initializers import *
from .losses import *
from .necks import *
from .preprocessors import *

__all__: list[str] = []
__all__ += backbones.__all__
__all__ += classifiers.__all__
__all__ += heads.__all__
__all__ += initializers.__all__
__all__ += losses.__all__
__all__ += necks.__all__
__all__ += preprocessors.__all__

# also under MMPretrain's own tools, which import this for the types above
read_weights_only()
