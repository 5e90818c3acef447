from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from mmvitkd.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on CPUs as well.

    MMEngine's ``AmpOptimWrapper`` refuses CPUs. bfloat16 has float32's range, so
    no loss scaling is needed. Arguments as for ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run forward and loss, the teacher's included, under autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
