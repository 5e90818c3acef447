"""Batches of which some images have a label: what the labels' losses see of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from .classes import logits_module
from .tap import Feature


def labelled_places(data_samples: list[DataSample] | None) -> list[int]:
    """List the places of those samples that have a label."""
    return [
        i
        for i, sample in enumerate(data_samples or ())
        if 'gt_label' in sample or 'gt_score' in sample
    ]


@contextmanager
def outputs_of_part(student: Any, places: list[int]) -> Iterator[None]:
    """Let a student's loss see the logits of a part of the batch alone.

    The whole batch runs through the student, so that its taps yield all of it.

    Args:
        student: A classifier.
        places: Of the part.

    Raises:
        ValueError: If the student's loss does not go through its logits.
    """
    module = logits_module(student)
    seen = []

    def keep(_: Any, __: Any, output: Any) -> Any:
        seen.append(output)
        return _part(output, places)

    # registered last, so taps on the same module have seen the whole output
    handle = module.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
    if not seen:
        raise ValueError(
            'a batch has images with and without a label, and the loss of '
            f'{type(module).__name__} can not be computed of a part of it: take '
            'images of one kind, or task_weight=0'
        )


def _part(output: Any, places: list[int]) -> Any:
    """Take some of the images of whatever a model yields."""
    if isinstance(output, Tensor):
        return output[places]
    if isinstance(output, tuple | list):
        return type(output)(_part(one, places) for one in output)
    if isinstance(output, dict):  # Hugging Face's
        for key in list(output):
            output[key] = _part(output[key], places)
    return output


def feature_of(feature: Feature, places: list[int]) -> Feature:
    """Take some of the images of a feature; the first ones without a copy."""
    first = len(places)
    # a GPU would be sent a list, and the host wait until it is there
    chosen = slice(first) if places == [*range(first)] else places
    return feature._replace(value=feature.value[chosen])


def zero_loss(*values: Tensor) -> Tensor:
    """Return 0, of which every value has a gradient of 0.

    DDP expects one for what a term reaches, also while the term is switched off. A
    sum over no elements stays 0 where ``0 * value`` would be NaN.
    """
    return torch.stack([v[None][:0].sum(dtype=torch.float32) for v in values]).sum()
