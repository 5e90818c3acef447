"""What a classifier's classes are, whichever library it comes from."""

from typing import Any

from mmpretrain.models.heads import CSRAClsHead, MultiLabelClsHead
from torch import Tensor


def logits_module(classifier: Any) -> Any:
    """Return the part of a classifier that yields its logits, or None."""
    # timm's and HuggingFace's wrappers have a whole model instead of a head
    return getattr(classifier, 'head', getattr(classifier, 'model', None))


def count_classes(classifier: Any) -> int | None:
    """Return the number of classes, where the classifier says it."""
    module = logits_module(classifier)
    if isinstance(module, CSRAClsHead):  # it keeps no number
        return int(module.csra_heads[0].head.out_channels)
    config = getattr(module, 'config', None)  # HuggingFace's
    return getattr(module, 'num_classes', getattr(config, 'num_labels', None))


def is_multi_label(classifier: Any, target: Tensor | None = None) -> bool:
    """Whether an image may have several classes, or none.

    Args:
        classifier: Its head tells.
        target: Labels ``(B,)`` or ``(B, K)``, which tell where the head does not: of
            classes that exclude each other, the shares sum to 1. Defaults to None.
    """
    module = logits_module(classifier)
    kind = getattr(getattr(module, 'config', None), 'problem_type', None)
    if isinstance(module, MultiLabelClsHead) or kind == 'multi_label_classification':
        return True
    if target is None or target.ndim == 1:
        return False
    return bool(((target.sum(1) - 1).abs() > 1e-2).any())
