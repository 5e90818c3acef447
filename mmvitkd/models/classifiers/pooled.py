"""One vector an image, of any classifier: what stands for an image to others."""

from typing import Any

import torch
from mmpretrain.models import HuggingFaceClassifier, TimmClassifier
from torch import Tensor

from .hugging_face_model import HuggingFaceModel
from .tap import Tap, record

# Hugging Face's linear layers behind the features
CLASSIFIERS = ('classifier', 'cls_classifier')


def pooled_features(model: Any, inputs: Tensor, tap: Tap | None = None) -> Tensor:
    """Run a classifier, and return a vector for each image.

    Args:
        model: Of MMPretrain, timm or Hugging Face, with or without a head.
        inputs: ``(B, C, H, W)``, as it takes them.
        tap: Where to look; patch tokens are averaged. Defaults to None: what the
            last layer of the model takes, or, of one without classes, its class token
            or its own pooling, or else the mean of its tokens.

    Returns:
        ``(B, D)`` in float32.

    Raises:
        ValueError: If there is no such vector.
    """
    if tap is not None:
        with record(model, [tap]) as seen:
            model(inputs)
        value = seen[tap].value
        found = value.mean(1) if value.ndim == 3 else value
    elif isinstance(model, HuggingFaceModel):
        found = _of_tokens(model, inputs)
    elif isinstance(model, HuggingFaceClassifier):
        found = _before_classifier(model.model, inputs)
    elif isinstance(model, TimmClassifier):
        inner = model.model
        if not hasattr(inner, 'forward_head'):
            raise ValueError(_unknown(inner))
        found = inner.forward_head(inner.forward_features(inputs), pre_logits=True)
    else:
        found = _before_head(model, inputs)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(inputs):
        raise ValueError(_unknown(model))
    return found.float()


def _unknown(model: Any) -> str:
    return (
        f'{type(model).__name__} does not tell which vector stands for an image: name '
        'the module that yields it, or its tokens, as a tap'
    )


def _before_head(model: Any, inputs: Tensor) -> Any:
    """Return what the last layer of an MMPretrain head takes."""
    if getattr(model, 'with_head', False) and hasattr(model.head, 'pre_logits'):
        return _last(model.extract_feat(inputs, stage='pre_logits'), first=True)
    if not hasattr(model, 'extract_feat'):
        raise ValueError(_unknown(model))
    found = _last(model.extract_feat(inputs))
    if isinstance(found, Tensor) and found.ndim == 4:  # a map
        return found.mean((2, 3))
    if isinstance(found, Tensor) and found.ndim == 3:  # tokens, the class's first
        leads = getattr(model.backbone, 'num_extra_tokens', 0)
        return found[:, 0] if leads else found.mean(1)
    return found


def _last(value: Any, first: bool = False) -> Any:
    """Take the deepest stage of several, and of its parts the class token."""
    while isinstance(value, (tuple, list)) and value:
        # heads with more tokens have the class's first, backbones the deepest last
        value = value[0 if first else -1]
    return value


def _before_classifier(model: Any, inputs: Tensor) -> Any:
    """Return what Hugging Face's classifier takes."""
    taken: list[Tensor] = []
    found = [getattr(model, name, None) for name in CLASSIFIERS]
    layers = [layer for layer in found if isinstance(layer, torch.nn.Module)]
    if not layers:
        raise ValueError(_unknown(model))
    handle = layers[0].register_forward_pre_hook(lambda _, args: taken.append(args[0]))
    try:
        model(inputs)
    finally:
        handle.remove()
    value = taken[0] if taken else None
    return value.flatten(1) if value is not None and value.ndim == 4 else value


def _of_tokens(model: Any, inputs: Tensor) -> Any:
    """Return the class token, or the model's own pooling, or the mean of its tokens."""
    out = model.model(inputs)
    tokens, pooled = out.last_hidden_state, getattr(out, 'pooler_output', None)
    # CLIP, which calls it otherwise, normalises it for its own pooling
    if any(name.endswith('cls_token') for name, _ in model.named_parameters()):
        return tokens[:, 0]
    if pooled is not None:
        return pooled
    return tokens.flatten(2).mean(2) if tokens.ndim == 4 else tokens.mean(1)
