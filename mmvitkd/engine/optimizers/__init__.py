from .backbone_layer_decay_constructor import BackboneLayerDecayConstructor
from .bfloat16_optim_wrapper import Bfloat16OptimWrapper
from .layer_decay import LayerDecay
from .layer_decay_constructor import LayerDecayConstructor
from .merged_groups_constructor import MergedGroupsConstructor

__all__ = [
    'BackboneLayerDecayConstructor',
    'Bfloat16OptimWrapper',
    'LayerDecay',
    'LayerDecayConstructor',
    'MergedGroupsConstructor',
]
