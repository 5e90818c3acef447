import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mmvitkd.models.classifiers.layer_depth import layer_depth
from mmvitkd.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from mmvitkd.utils.types import class_of

from .repeated import drop_repeated


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(
    name='LearningRateDecayOptimWrapperConstructor'
)
class LayerDecayConstructor(LearningRateDecayOptimWrapperConstructor):
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
            ValueError: If the model has no blocks.
        """
        if get_layer_depth is None:
            get_layer_depth = partial(layer_depth, module)
        super().add_params(params, module, prefix, get_layer_depth, **kwargs)
        if prefix == '':
            drop_repeated(params)
