from collections.abc import Sequence
from functools import partial
from operator import attrgetter

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmvitkd.registry import HOOKS


@HOOKS.register_module()
class ActivationCheckpointingHook(Hook):
    """Compute a student's blocks again in the backward pass, keeping nothing inside.

    `Training Deep Nets with Sublinear Memory Cost
    <https://arxiv.org/abs/1604.06174>`_: less memory for about one more forward of
    these blocks, the same gradients. Unlike MMEngine's ``activation_checkpointing``
    setting it is torch's non-reentrant kind, so that a tap inside a block still
    leads the gradient into the student.

    Args:
        modules: Paths of modules; a list of blocks stands for each of them. Defaults
            to ``('student.backbone.layers',)``, all blocks of a ViT.

    Raises:
        ValueError: If the model has no such module, when training begins.
    """

    def __init__(self, modules: Sequence[str] = ('student.backbone.layers',)) -> None:
        self.modules = (modules,) if isinstance(modules, str) else tuple(modules)

    def before_train(self, runner: Runner) -> None:
        """Wrap the forward of every block."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for path in self.modules:
            try:
                module = attrgetter(path)(model)
            except AttributeError:
                raise ValueError(
                    f"ActivationCheckpointingHook: the model has no module '{path}'; a "
                    "distiller's student begins with 'student.'"
                ) from None
            blocks = module if isinstance(module, nn.ModuleList) else [module]
            for block in blocks:
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
