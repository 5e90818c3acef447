from collections.abc import Callable
from functools import partial
from typing import Any

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mmvitkd.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .repeated import drop_repeated

PREFIX = 'backbone.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneLayerDecayConstructor(LearningRateDecayOptimWrapperConstructor):
    """MMPretrain's layer-wise learning rate decay, for a backbone inside any model.

    The backbone's layers get a lower learning rate the further they are from its
    output; neck and heads get the whole one. Arguments as for MMPretrain's, such as
    ``paramwise_cfg=dict(layer_decay_rate=0.7, norm_decay_mult=0.0)``, whose models
    are classifiers.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a group for each parameter; calls itself for the parts of a module.

        Raises:
            ValueError: If the model has no backbone, or one that can't tell the depth
                of its parameters.
        """
        if get_layer_depth is None:
            backbone: Any = getattr(module, 'backbone', None)
            if not hasattr(backbone, 'get_layer_depth'):
                raise ValueError(
                    f'layer-wise decay needs a model.backbone with get_layer_depth, as '
                    f"MMPretrain's ViT and Swin are, but the {type(module).__name__}'s "
                    f'is of {type(backbone).__name__}'
                )
            get_layer_depth = partial(backbone.get_layer_depth, prefix=PREFIX)
        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
        if prefix == '':
            drop_repeated(params)
