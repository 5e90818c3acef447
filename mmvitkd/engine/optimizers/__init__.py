from .backbone_layer_decay_constructor import BackboneLayerDecayConstructor
from .bfloat16_optim_wrapper import Bfloat16OptimWrapper

__all__ = ['BackboneLayerDecayConstructor', 'Bfloat16OptimWrapper']
