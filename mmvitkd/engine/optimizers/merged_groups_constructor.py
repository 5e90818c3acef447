from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmvitkd.registry import OPTIM_WRAPPER_CONSTRUCTORS

NAMES = 'param_names'  # in a group, as torch calls it


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, with one group for all parameters of the same settings.

    With a ``paramwise_cfg``, MMEngine's makes a group for every parameter, so that
    torch's optimisers, fused or not, go through some 150 tensors of a ViT one by one:
    many kernels, and much of the host's time. Every parameter is updated as before,
    bit for bit, but where ``clip_grad`` sums the norms in another order. A group's
    ``param_names`` tell its parameters. Arguments as for MMEngine's.

    ``train`` takes it where the config names no constructor, and the optimiser is one
    of torch's.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add groups of parameters; calls itself for the parts of a module."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix == '':
            params[:] = _merge(params, module)


def _merge(groups: list[dict[str, Any]], module: nn.Module) -> list[dict[str, Any]]:
    """Join groups that differ in their parameters only, in the order of the first."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    merged: list[tuple[dict[str, Any], dict[str, Any]]] = []
    seen: set[int] = set()
    for group in groups:
        (parameter,) = group['params']
        if id(parameter) in seen:  # torch refuses it in a second group, in words
            return groups
        seen.add(id(parameter))
        settings = {key: value for key, value in group.items() if key != 'params'}
        joined = next((one for known, one in merged if known == settings), None)
        if joined is None:
            joined = {'params': [], **settings, NAMES: []}
            merged.append((settings, joined))
        joined['params'].append(parameter)
        joined[NAMES].append(names[id(parameter)])
    return [joined for _, joined in merged]
