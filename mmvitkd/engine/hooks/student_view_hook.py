from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torchvision.transforms import ColorJitter, RandomErasing

from mmvitkd.models.classifiers.preprocessing import WHITE, denormalise, normalise
from mmvitkd.models.utils import check_share
from mmvitkd.registry import HOOKS


@HOOKS.register_module()
class StudentViewHook(Hook):
    """Show the student another view of some images than its teachers see.

    The multi-view training of `Cross-Architecture Knowledge Distillation
    <https://arxiv.org/abs/2207.05273>`_: other colours, and a rectangle of the mean
    colour. The paper crops and turns, too, but then a place of the student's would be
    none of the teacher's: geometry stays that of the pipeline, which both share.

    The images change on their way into the student's backbone, in training only, so
    nothing of it is in a checkpoint. A student without terms sees what it always sees.

    Args:
        prob: Of an image being changed. Defaults to 0.5, the paper's.
        jitter: Range of brightness, contrast and saturation, as torchvision's
            ``ColorJitter`` takes it. Defaults to 0.4.
        erase: Largest share of the image that a rectangle covers; 0 for none. Defaults
            to 0.33.

    Raises:
        ValueError: If a number is out of its range. Before training: if the model is
            no distiller.
    """

    def __init__(
        self, prob: float = 0.5, jitter: float = 0.4, erase: float = 0.33
    ) -> None:
        self.prob = check_share('prob', prob)
        jitter = check_share('jitter', jitter)
        self.jitter = ColorJitter(jitter, jitter, jitter)
        erase = check_share('erase', erase)
        self.erase = RandomErasing(p=1.0, scale=(min(0.02, erase), erase))
        self._handle: Any = None

    def before_train(self, runner: Runner) -> None:
        """Begin to change the student's images."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'student'):
            raise ValueError(
                f'StudentViewHook: {type(model).__name__} has no student whose images '
                "could differ from its teachers': the model must be a ViTKDDistiller"
            )
        if not model.terms or self._handle is not None:
            return
        self.preprocessor = model.data_preprocessor
        # `model` in the wrappers of timm and Hugging Face
        name = 'backbone' if hasattr(model.student, 'backbone') else 'model'
        backbone = getattr(model.student, name)
        self._handle = backbone.register_forward_pre_hook(self._change)

    def after_train(self, runner: Runner) -> None:
        """Leave the student as it was."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _change(self, backbone: nn.Module, args: tuple) -> tuple | None:
        if not backbone.training:
            return None
        images, *others = args
        chosen = torch.rand(len(images)) < self.prob
        views = [
            self.view(image) if changed else image
            for image, changed in zip(images, chosen, strict=True)
        ]
        return torch.stack(views), *others

    def view(self, image: Tensor) -> Tensor:
        """Change the colours of a normalised image ``(C, H, W)``, and erase a part."""
        pixels = denormalise(image[None], self.preprocessor) / WHITE
        pixels = self.jitter(pixels.clamp(0, 1)) * WHITE
        image = normalise(pixels, self.preprocessor)[0].to(image.dtype)
        return self.erase(image)
