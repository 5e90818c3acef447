from collections.abc import Callable
from typing import Any

from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn


class LayerDecay(LearningRateDecayOptimWrapperConstructor):
    """MMPretrain's layer-wise decay, by depths that a subclass finds for a model."""

    def depths_of(self, model: nn.Module) -> Callable[..., tuple[int, int]]:
        """Return what tells a parameter's depth, and the model's, by its name.

        Raises:
            ValueError: If the model has no layers that could be counted.
        """
        raise NotImplementedError

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        get_layer_depth: Callable[..., tuple[int, int]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a group for each parameter; calls itself for the parts of a module."""
        depths = get_layer_depth or self.depths_of(module)
        super().add_params(params, module, prefix, depths, **kwargs)
        if prefix == '':  # the first group of each, which several modules may share
            groups: dict[int, dict[str, Any]] = {}
            for group in params:
                groups.setdefault(id(group['params'][0]), group)
            params[:] = groups.values()
