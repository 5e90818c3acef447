from typing import Any

from mmengine.model import BaseModel
from torch import Tensor

from ..classes import count_classes, labels_of, logits_module
from ..partial_labels import labelled_places
from .task import Task


class Classifier(Task):
    """Whole images are told apart; models of timm, of Hugging Face and any module."""

    base = 'mmpretrain.models.classifiers.base.BaseClassifier'
    called = 'classifier'
    classifies = True
    augments = True

    @classmethod
    def suits(cls, kind: type) -> bool:
        """Whether it is a classifier, or a module that knows nothing of samples."""
        return super().suits(kind) or not issubclass(kind, BaseModel)

    def run(
        self, model: Any, inputs: Tensor, data_samples: list[Any] | None = None
    ) -> Any:
        """Run it on images ``(B, C, H, W)`` alone."""
        return model(inputs)

    def labelled_places(self, data_samples: list[Any] | None) -> list[int] | None:
        """List which images have labels; None where all have."""
        places = labelled_places(data_samples)
        if data_samples is None or len(places) == len(data_samples):
            return None
        return places

    def labels(self, model: Any, data_samples: list[Any] | None) -> Tensor | None:
        """Return indices ``(B,)`` or scores ``(B, K)``; None without any."""
        return labels_of(data_samples, model)

    def logits_module(self, model: Any) -> Any:
        """Return its head, or the whole model of a library."""
        return logits_module(model)

    def logits(self, output: Any) -> Tensor | None:
        """Read ``(B, K)``."""
        value = getattr(output, 'logits', output)  # HuggingFace's has them inside
        return value if isinstance(value, Tensor) and value.ndim == 2 else None

    def count_classes(self, model: Any) -> int | None:
        """Return the number of classes; 0 without a head."""
        return count_classes(model)
