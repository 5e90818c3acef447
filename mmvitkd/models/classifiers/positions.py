"""Positions that were trained for images of another size."""

import inspect
import logging
import sys
from collections.abc import Callable
from typing import Any

from mmengine.logging import print_log
from mmpretrain.models import HuggingFaceClassifier, TimmClassifier
from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor

from .grids import MAX_EXTRA_TOKENS

INTERPOLATE = 'interpolate_pos_encoding'  # Hugging Face's
Weights = dict[str, Tensor]


def resize_positions(classifier: Any, weights: Weights, name: str) -> Weights:
    """Resize the positions of a checkpoint to those of a model, as its library does.

    MMPretrain's models do it themselves, timm's by a function beside each model; any
    other has its absolute positions interpolated, those of the extra tokens kept. The
    log says what was resized.

    Args:
        classifier: The model.
        weights: Of the checkpoint, by the names of the model's ``state_dict``.
        name: Of the checkpoint, for the log.

    Returns:
        The weights, some in another shape.
    """
    wanted = classifier.state_dict()
    if not _differing(weights, wanted):
        return weights
    if isinstance(classifier, TimmClassifier):
        resized = _by_timm(classifier.model, weights)
    elif isinstance(classifier, HuggingFaceClassifier):
        resized = {
            key: _interpolated(value, wanted[key]) if key in wanted else value
            for key, value in weights.items()
        }
    else:
        return weights
    left = _differing(resized, wanted)
    for key in _differing(weights, wanted):
        if key not in left:
            old, new = (tuple(state[key].shape) for state in (weights, wanted))
            print_log(
                f"checkpoint '{name}': {key} is resized from {old} to {new}, for "
                'images of another size',
                logger='current',
                level=logging.WARNING,
            )
    return resized


def _differing(weights: Weights, wanted: Weights) -> list[str]:
    return [k for k, v in weights.items() if k in wanted and v.shape != wanted[k].shape]


def _by_timm(model: Any, weights: Weights) -> Weights:
    """Let timm fit its own checkpoint, as when it downloads one."""
    module = sys.modules[type(model).__module__]
    fit = getattr(module, 'checkpoint_filter_fn', None)
    return weights if fit is None else fit(dict(weights), model)


def _interpolated(value: Tensor, wanted: Tensor) -> Tensor:
    """Resize ``(1, L, C)``, or ``(L, C)``, if it is of a square grid."""
    same_kind = value.ndim == wanted.ndim and value.shape[-1] == wanted.shape[-1]
    if value.shape == wanted.shape or value.ndim not in (2, 3) or not same_kind:
        return value
    for extra in range(MAX_EXTRA_TOKENS + 1):
        sides = [round(max(t.shape[-2] - extra, 0) ** 0.5) for t in (value, wanted)]
        counts = [side * side + extra for side in sides]
        if counts == [value.shape[-2], wanted.shape[-2]] and min(sides) > 0:
            old, new = ((side, side) for side in sides)
            whole = value if value.ndim == 3 else value[None]
            resized = resize_pos_embed(whole, old, new, 'bicubic', extra)
            return resized.reshape(wanted.shape)
    return value


def interpolate_when_run(classifier: Any) -> None:
    """Have a Hugging Face model take images of any size, if it can.

    It resizes its positions in every forward then.
    """
    if not isinstance(classifier, HuggingFaceClassifier):
        return
    for module in classifier.model.modules():
        if INTERPOLATE in inspect.signature(module.forward).parameters:
            module.forward = _interpolating(module.forward)


def _interpolating(forward: Callable) -> Callable:
    """Have a forward interpolate, whatever it is told."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **{**kwargs, INTERPOLATE: True})

    return wrapped
