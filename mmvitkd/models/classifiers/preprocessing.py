"""How a model wants its pixels: who says it, and from one to another."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from mmengine.logging import print_log
from mmpretrain.models import (
    ClsDataPreprocessor,
    HuggingFaceClassifier,
    TimmClassifier,
)
from torch import Tensor, nn

WHITE = 255.0  # what timm's and Hugging Face's values call 1
# of preprocessors, whether others normalise alike
_same: WeakKeyDictionary[nn.Module, WeakKeyDictionary[nn.Module, bool]] = (
    WeakKeyDictionary()
)


class Preprocessing(NamedTuple):
    """The preprocessor that a model was trained with, and who says so."""

    preprocessor: nn.Module
    source: str


def find_preprocessing(classifier: Any, given: bool, name: str) -> Preprocessing | None:
    """Find the normalisation that belongs to a classifier's weights.

    Args:
        classifier: An MMPretrain classifier.
        given: Whether its config has a ``data_preprocessor``, which comes first.
        name: What to call it in the log.

    Returns:
        None where neither its config nor its library says it.
    """
    own = _of_library(classifier)
    if not given:
        return own
    config = Preprocessing(classifier.data_preprocessor, 'its config')
    if own and not is_same(own.preprocessor, config.preprocessor):
        print_log(
            f'{name}: its config normalises by {describe(config.preprocessor)}, but '
            f'{own.source} has {describe(own.preprocessor)}. The config is followed',
            logger='current',
            level=logging.WARNING,
        )
    return config


def _of_library(classifier: Any) -> Preprocessing | None:
    """Read what timm or Hugging Face know of the model's pixels, from 0 to 1."""
    if isinstance(classifier, TimmClassifier):
        cfg = getattr(classifier.model, 'pretrained_cfg', None) or {}
        if not cfg.get('mean') or not cfg.get('std'):
            return None
        # a model of one channel may have the values of three
        channels = cfg.get('input_size', (3,))[0]
        mean, std = ([WHITE * v for v in cfg[k][:channels]] for k in ('mean', 'std'))
        tag = '.'.join(filter(None, (cfg.get('architecture'), cfg.get('tag'))))
        return _made(mean, std, f"timm's pretrained_cfg{f' of {tag}' if tag else ''}")
    if isinstance(classifier, HuggingFaceClassifier):
        return _of_image_processor(classifier.model.config.name_or_path)
    return None


def _of_image_processor(name: str) -> Preprocessing | None:
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(name)
    except (
        OSError,
        ValueError,
        KeyError,
        ImportError,
    ):  # none was saved, or no network
        return None
    scaled = getattr(processor, 'do_rescale', True)
    white = 1 / getattr(processor, 'rescale_factor', 1 / WHITE) if scaled else 1.0
    mean, std = [0.0] * 3, [white] * 3
    if getattr(processor, 'do_normalize', True):
        mean = [white * v for v in processor.image_mean]
        std = [white * v for v in processor.image_std]
    return _made(mean, std, f"the image processor of '{name}'")


def _made(mean: list[float], std: list[float], source: str) -> Preprocessing:
    return Preprocessing(
        ClsDataPreprocessor(mean=mean, std=std, to_rgb=len(mean) == 3), source
    )


def normalisation(preprocessor: nn.Module) -> tuple:
    """Return a preprocessor's mean, std and channel order."""
    mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
    values = (None if v is None else tuple(v.flatten().tolist()) for v in (mean, std))
    return (*values, is_rgb(preprocessor))


def is_same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two preprocessors normalise alike, but for rounding."""
    *values, rgb = zip(normalisation(one), normalisation(other), strict=True)
    return rgb[0] == rgb[1] and all(
        a == b or (a and b and np.shape(a) == np.shape(b) and np.allclose(a, b))
        for a, b in values
    )


def is_rgb(preprocessor: nn.Module) -> bool:
    """Whether it turns BGR images into RGB."""
    # the second is MMEngine's, of detectors, the third mmseg's
    names = ('to_rgb', '_channel_conversion', 'channel_conversion')
    return any(bool(getattr(preprocessor, name, False)) for name in names)


def describe(preprocessor: nn.Module) -> str:
    """Tell mean, std and channel order."""
    mean, std, rgb = normalisation(preprocessor)
    order = 'RGB' if rgb else 'BGR'
    if mean is None:
        return f'nothing (pixels from 0 to 255, {order})'
    values = ' and std '.join(
        f'[{", ".join(f"{x:g}" for x in v)}]' for v in (mean, std)
    )
    return f'mean {values}, {order}' if len(mean) == 3 else f'mean {values}'


def renormalise(x: Tensor, given: nn.Module, wanted: nn.Module) -> Tensor:
    """Turn images ``(B, C, H, W)`` of one normalisation into those of another.

    Those of one channel become grey ones of three where there are three means.
    """
    known = _same.setdefault(given, WeakKeyDictionary())
    if wanted not in known:  # to read their numbers in every step would wait for a GPU
        known[wanted] = is_same(given, wanted)
    if known[wanted]:
        return x
    x = denormalise(x, given)  # 0 .. 255
    mean = getattr(wanted, 'mean', None)
    if x.shape[1] == 1 and mean is not None:
        x = x.expand(-1, len(mean), -1, -1)
    if x.shape[1] == 3 and is_rgb(given) != is_rgb(wanted):
        x = x.flip(1)
    return normalise(x, wanted)


def blank_padding(x: Tensor, data_samples: Sequence[Any]) -> Tensor:
    """Set to 0 what images ``(B, C, H, W)`` were padded by, as frameworks pad them.

    Another normalisation had made something else of it.

    Args:
        x: Changed in place.
        data_samples: Which tell how large an image was before, or nothing is done.
    """
    for image, sample in zip(x, data_samples, strict=True):
        if getattr(sample, 'pad_shape', None) is not None:
            height, width = sample.img_shape[:2]
            image[:, height:] = 0
            image[:, :, width:] = 0
    return x


def denormalise(x: Tensor, preprocessor: Any) -> Tensor:
    """Turn what a preprocessor yields into pixels from 0 to 255."""
    if getattr(preprocessor, 'mean', None) is None:
        return x
    return x * preprocessor.std.to(x) + preprocessor.mean.to(x)


def normalise(x: Tensor, preprocessor: Any) -> Tensor:
    """Undo :func:`denormalise`."""
    if getattr(preprocessor, 'mean', None) is None:
        return x
    return (x - preprocessor.mean.to(x)) / preprocessor.std.to(x)
