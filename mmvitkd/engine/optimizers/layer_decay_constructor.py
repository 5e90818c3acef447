import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mmvitkd.models.classifiers.layer_depth import layer_depth
from mmvitkd.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from mmvitkd.utils.types import class_of

from .layer_decay import LayerDecay


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(
    name='LearningRateDecayOptimWrapperConstructor'
)
class LayerDecayConstructor(LayerDecay):
    """MMPretrain's layer-wise learning rate decay, for any model of blocks.

    MMPretrain's own takes a few of its backbones only, and fails where the config names
    no ``weight_decay``; here the optimiser's default counts then. It has that name in
    our scope. Arguments as for MMPretrain's.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        kind: Any = class_of(self.optimizer_cfg['type'], OPTIMIZERS)
        parameters = inspect.signature(kind).parameters
        for attribute, key in (('base_lr', 'lr'), ('base_wd', 'weight_decay')):
            if getattr(self, attribute) is None and key in parameters:
                setattr(self, attribute, parameters[key].default)

    def depths_of(self, model: nn.Module) -> Callable[..., tuple[int, int]]:
        """Return what tells the depth of a parameter among the model's blocks.

        Raises:
            ValueError: If the model has no blocks.
        """
        return partial(layer_depth, model)
