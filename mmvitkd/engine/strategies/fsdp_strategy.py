import os
from functools import partial
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy as BaseFSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.optim import BaseOptimWrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy

from mmvitkd.registry import STRATEGIES

from .sharding import require_processes, shard_teachers, sharding_units

STATE = ('state', 'param_groups')  # of an optimiser; a wrapper adds its own keys


@STRATEGIES.register_module()
class FSDPStrategy(BaseFSDPStrategy):
    """MMEngine's ``FSDPStrategy``, with which training is that of DDP.

    .. code:: python

        runner_type = 'FlexibleRunner'
        strategy = dict(type='mmvitkd.FSDPStrategy')

    Every process holds a share of the student's and the necks' weights, gradients
    and optimiser state; blocks are gathered one at a time. What differs from
    MMEngine's:

    - checkpoints are files as those of DDP, whole and written atomically, which
      testing, exporting and another number of processes read;
    - it resumes: MMEngine's hands torch the arguments in an order of the past;
    - parameter groups are made before sharding, which makes every tensor flat, so
      that ``flat_decay_mult`` would take all weights for biases;
    - gradients are clipped by the norm over all processes;
    - the teachers move to the device, and it runs on CPUs.

    Args:
        shard_teacher: Whether every process holds a share of the teachers' weights
            or all of them. Defaults to False.
        **kwargs: Of MMEngine's, but for ``state_dict_cfg``.
    """

    model_wrapper: dict | None

    def __init__(self, *, shard_teacher: bool = False, **kwargs: Any) -> None:
        super().__init__(state_dict_cfg='full', **kwargs)
        require_processes(self)
        # on CPUs it frees what it returns; torch refuses it for a single process
        offload = get_device() != 'cpu' and self.world_size > 1
        self.state_dict_config.offload_to_cpu = offload
        self.optim_state_dict_config.offload_to_cpu = offload
        self.shard_teacher = shard_teacher
        self._optim_cfg: Any = None

    def prepare(self, model: Any, *, optim_wrapper: Any = None, **kwargs: Any) -> Any:
        """As MMEngine's."""
        self._optim_cfg = optim_wrapper
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        model.to(get_device())  # the teachers too, which FSDP does not see
        if self._optim_cfg is not None:
            self.optim_wrapper = super().build_optim_wrapper(self._optim_cfg, model)
        blocks = sharding_units(model)
        policy = partial(lambda_auto_wrap_policy, lambda_fn=lambda m: m in blocks)
        wrapper = {'auto_wrap_policy': policy, **(self.model_wrapper or {})}
        if get_device() == 'cpu':
            wrapper['device_id'] = torch.device('cpu')
        self.model_wrapper = wrapper
        if self.shard_teacher:
            shard_teachers(model)
        return super()._wrap_model(model)

    def build_optim_wrapper(
        self, optim_wrapper: Any, model: Any = None
    ) -> BaseOptimWrapper:
        """Return the wrapper that was built for the parameters before sharding."""
        built = self.optim_wrapper
        if getattr(built, 'clip_func', None) is torch.nn.utils.clip_grad_norm_:
            built.clip_func = lambda _, **settings: model.clip_grad_norm_(**settings)
        return built

    def optim_state_dict(self) -> dict:
        """Gather the optimiser's state in the first process."""
        own = self.optim_wrapper.state_dict()
        state = {key: own.pop(key) for key in STATE}
        optimizer = self.optim_wrapper.optimizer
        return {**FSDP.optim_state_dict(self.model, optimizer, state), **own}

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Take this process's share of a whole optimiser state."""
        own = {key: value for key, value in state_dict.items() if key not in STATE}
        share = FSDP.optim_state_dict_to_load(
            model=self.model,
            optim=self.optim_wrapper.optimizer,
            optim_state_dict={key: state_dict[key] for key in STATE},
        )
        self.optim_wrapper.load_state_dict({**share, **own})

    def save_checkpoint(self, filename: str, **kwargs: Any) -> None:
        """Write one file in the first process; it is complete or not there."""
        part = f'{filename}.part'
        super().save_checkpoint(part, **kwargs)
        if is_main_process():
            os.replace(part, filename)
