import os
import shutil
from collections.abc import Callable
from typing import Any

from mmengine._strategy import DeepSpeedStrategy as BaseDeepSpeedStrategy
from mmengine.config import ConfigDict
from mmengine.dist import barrier, is_main_process
from mmengine.optim import BaseOptimWrapper
from torch import nn
from torch.serialization import safe_globals

from mmvitkd.registry import STRATEGIES
from mmvitkd.utils.safe_loading import weights_only_loads

from .sharding import require_processes, shard_teachers


@STRATEGIES.register_module()
class DeepSpeedStrategy(BaseDeepSpeedStrategy):
    """MMEngine's ``DeepSpeedStrategy``, which takes an ordinary config.

    .. code:: python

        runner_type = 'FlexibleRunner'
        strategy = dict(
            type='mmvitkd.DeepSpeedStrategy', zero_optimization=dict(stage=1))

    DeepSpeed has settings of its own for the batch size, clipping and accumulation;
    here they come from the config's ``train_dataloader`` and ``optim_wrapper``.
    A checkpoint is a folder, which appears under its name when it is complete.

    Args:
        shard_teacher: Whether every process holds a share of the teachers' weights
            or all of them. Defaults to False.
        **kwargs: Of MMEngine's.

    Raises:
        ValueError: If the optimiser wrapper asks for what DeepSpeed does otherwise.
    """

    config: dict

    def __init__(self, *, shard_teacher: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        require_processes(self)
        self.shard_teacher = shard_teacher
        # MMPretrain's schedules use optimisers of torch
        self.config.setdefault('zero_allow_untested_optimizer', True)
        # a checkpoint holds it, which then is plain data
        self.config = ConfigDict(self.config).to_dict()

    def prepare(
        self, model: Any, *, dispatch_kwargs: dict | None = None, **kwargs: Any
    ) -> Any:
        """As MMEngine's; the batch size is the data loader's."""
        batch = (dispatch_kwargs or {}).get('train_micro_batch_size_per_gpu', 1)
        self.config['train_micro_batch_size_per_gpu'] = batch
        return super().prepare(model, dispatch_kwargs=dispatch_kwargs, **kwargs)

    def build_optim_wrapper(
        self, optim_wrapper: Any, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        """Build DeepSpeed's wrapper of the optimiser that the config asks for."""
        cfg = dict(optim_wrapper)
        kind = cfg.pop('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'DeepSpeedOptimWrapper'):
            raise ValueError(
                f'DeepSpeed has mixed precision of its own, got optim_wrapper {kind}: '
                'give strategy=dict(bf16=dict(enabled=True)) instead, and no --amp'
            )
        clip = dict(cfg.pop('clip_grad', None) or {})
        if clip:
            self.config['gradient_clipping'] = clip.pop('max_norm', None)
        if clip:
            raise ValueError(f'DeepSpeed clips only by max_norm, got {clip} as well')
        if 'accumulative_counts' in cfg:
            self.config['gradient_accumulation_steps'] = cfg.pop('accumulative_counts')
        cfg['type'] = 'DeepSpeedOptimWrapper'
        self.optim_wrapper = super().build_optim_wrapper(cfg, model)
        self._scale_lr()
        return self.optim_wrapper

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        wrapped = super()._wrap_model(model)
        if self.shard_teacher:
            shard_teachers(model)
        return wrapped

    def load_checkpoint(self, filename: str, **kwargs: Any) -> dict:
        """As MMEngine's, but weights and the state of training are read as data."""
        with weights_only_loads(), safe_globals(_state_classes()):
            return super().load_checkpoint(filename, **kwargs)

    def resume(
        self, filename: str, *, callback: Callable | None = None, **kwargs: Any
    ) -> dict:
        """As MMEngine's, which tells no hook, and read as data likewise."""
        with weights_only_loads(), safe_globals(_state_classes()):
            checkpoint = super().resume(filename, **kwargs)
        if callback is not None:
            callback(checkpoint)
        return checkpoint

    def save_checkpoint(
        self, filename: str, *, callback: Callable | None = None, **kwargs: Any
    ) -> None:
        """Write a folder from all processes; it is complete or not there."""
        part = f'{filename}.part'
        if callback is not None:  # MMEngine's tells no hook
            callback(kwargs['extra_ckpt'])
        super().save_checkpoint(part, **kwargs)
        barrier()
        if is_main_process():
            # written again after its validation; a folder replaces an empty one only
            outdated = f'{filename}.old'
            shutil.rmtree(outdated, ignore_errors=True)
            if os.path.isdir(filename):
                os.replace(filename, outdated)
            os.replace(part, filename)
            shutil.rmtree(outdated, ignore_errors=True)


def _state_classes() -> list[Any]:
    """List the classes of what DeepSpeed's own checkpoints hold: plain values."""
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [DynamicLossScaler, LossScaler, ZeroStageEnum, fragment_address]
