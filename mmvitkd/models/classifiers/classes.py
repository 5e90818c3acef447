"""What a classifier's classes are, whichever library it comes from."""

from typing import Any

import torch
from mmpretrain.models import ImageClassifier
from mmpretrain.models.heads import CSRAClsHead, MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvitkd.registry import MODELS

from ..utils import MULTI_LABEL_ADVICE
from .hugging_face_model import HuggingFaceModel


def logits_module(classifier: Any) -> Any:
    """Return the part of a classifier that yields its logits, or None."""
    # timm's and HuggingFace's wrappers have a whole model instead of a head
    return getattr(classifier, 'head', getattr(classifier, 'model', None))


def is_headless(classifier: Any) -> bool:
    """Whether a model yields features alone."""
    if isinstance(classifier, ImageClassifier):
        return not classifier.with_head
    return isinstance(classifier, HuggingFaceModel)  # whose config says two classes


def count_classes(classifier: Any) -> int | None:
    """Return the number of classes, where the classifier says it; 0 without a head."""
    if is_headless(classifier):
        return 0
    module = logits_module(classifier)
    if isinstance(module, CSRAClsHead):  # it keeps no number
        return int(module.csra_heads[0].head.out_channels)
    config = getattr(module, 'config', None)  # HuggingFace's
    return getattr(module, 'num_classes', getattr(config, 'num_labels', None))


def is_multi_label(classifier: Any) -> bool:
    """Whether an image may have several classes, or none, by the classifier's head."""
    module = logits_module(classifier)
    kind = getattr(getattr(module, 'config', None), 'problem_type', None)
    return isinstance(module, MultiLabelClsHead) or kind == 'multi_label_classification'


def check_exclusive(student: Any, teacher: Any, loss: Any) -> None:
    """Refuse a loss on logits that takes classes for what they are not.

    Args:
        student: A classifier.
        teacher: Its logits may be known but for a constant: ``softmax_only``.
        loss: Of a term; its ``exclusive`` says whether classes exclude each other.

    Raises:
        ValueError: If they do and the student has several labels an image, or they do
            not and the teacher's logits are those of a softmax.
    """
    if teacher.softmax_only and not getattr(loss, 'exclusive', True):
        raise ValueError(
            f'{type(loss).__name__} takes every logit by itself, but a '
            f'{type(teacher).__name__} has them but for a constant of each image, on '
            'which no softmax depends: take a live Teacher'
        )
    if is_multi_label(student) and getattr(loss, 'exclusive', False):
        raise ValueError(
            f'{type(loss).__name__} takes classes that exclude each other, but the '
            f"student's {type(logits_module(student)).__name__} has several labels an "
            f'image: {MULTI_LABEL_ADVICE}'
        )


def takes_logits(loss: dict) -> bool:
    """Whether the config of a loss is that of one on logits."""
    kind = loss.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return hasattr(kind, 'exclusive')


def check_logits_of(teacher: Any, loss: dict) -> None:
    """Refuse a loss on logits under a teacher that has none.

    Args:
        teacher: By the protocol.
        loss: Config of a term's loss.

    Raises:
        ValueError: If so.
    """
    if not takes_logits(loss) or teacher.model is None:
        return
    if count_classes(teacher.model) == 0:
        kind = loss['type']
        raise ValueError(
            f'{getattr(kind, "__name__", kind)} compares logits, and the teacher '
            f'({type(teacher.model).__name__}) has no head, so there are none: take a '
            'loss on features, such as RelationKLLoss, QueueKLLoss or ViTKDMimicLoss, '
            'or train a classifier on the teacher first'
        )


def has_one_label(target: Tensor) -> Tensor:
    """Tell of ``(B,)`` or ``(B, K)`` labels which samples have one class, or a mix.

    The shares of a mix sum to 1, those of several classes at once to more.
    """
    if target.ndim == 1:
        return torch.ones_like(target, dtype=torch.bool)
    return (target.sum(1) - 1).abs() < 1e-2


def labels_of(data_samples: list[DataSample] | None, student: Any) -> Tensor | None:
    """Return the labels of a batch as one tensor.

    Args:
        data_samples: With scores, or indices of which a sample may have several.
        student: The classifier that they are for.

    Returns:
        Scores ``(B, K)``, mixed or of several classes each; or indices ``(B,)``; None
        without any.
    """
    if not data_samples:
        return None
    if all('gt_score' in sample for sample in data_samples):
        return torch.stack([sample.gt_score for sample in data_samples])
    if not all('gt_label' in sample for sample in data_samples):
        return None
    labels = [sample.gt_label for sample in data_samples]
    if all(len(label) == 1 for label in labels) and not is_multi_label(student):
        return torch.cat(labels)
    classes = count_classes(student)
    if classes is None:
        raise ValueError(
            f'labels of several classes need the number of classes, which a '
            f'{type(student).__name__} does not tell: give them as gt_score'
        )
    scores = labels[0].new_zeros(len(labels), classes, dtype=torch.float32)
    for score, label in zip(scores, labels, strict=True):
        score[label] = 1
    return scores
