"""Whose numbers are to blame when a loss is not finite."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..utils import is_compiling
from .tap import Feature, Tap


class _Step(NamedTuple):
    """The losses of a step, and what they were computed from."""

    names: list[str]
    values: Tensor  # (losses,), on the host
    written: Any  # the CUDA event after which they are there; None: they are
    outputs: dict[str, dict[Tap, Feature]]
    features: dict[Tap, Feature]


_unread: list[_Step] = []  # whose losses the GPU has yet to compute


def check_finite(
    losses: dict[str, Any],
    outputs: dict[str, dict[Tap, Feature]],
    features: dict[Tap, Feature],
    wait: bool = False,
) -> None:
    """Stop at a loss that is NaN or infinite, before the weights are spoilt.

    On a GPU the losses are not there yet, and who waits for them lets it run dry
    between forward and backward. There they are read when an optimiser begins its step,
    with the backward pass under way, or by the next call, if a gradient scaler has
    skipped the step.

    Args:
        losses: Of a step, by name; detectors have lists of them, one a level.
        outputs: The teachers', by name.
        features: The student's.
        wait: Read them at once on a GPU, too. Defaults to False.

    Raises:
        FloatingPointError: If one is; it tells which, and on which side the features
            or logits were not finite.
    """
    read_losses()
    means = {
        key: torch.stack([part.detach().mean() for part in parts_of(loss)]).sum()
        for key, loss in losses.items()
        if 'loss' in key
    }
    if not means:
        return
    values, written = torch.stack(list(means.values())), None
    late = not wait and _is_late(values)
    if late:
        _read_before_steps()
        # a copy that nobody waits for is in pinned memory
        values = values.to('cpu', non_blocking=True)
        written = _event()
    sides = {name: _values_of(taps) for name, taps in outputs.items()}
    _unread.append(_Step([*means], values, written, sides, _values_of(features)))
    if not late:
        read_losses()


def read_losses(*_: Any) -> None:
    """Look at the losses that were left unread.

    Raises:
        FloatingPointError: As of :func:`check_finite`.
    """
    steps = [*_unread]
    _unread.clear()
    for step in steps:
        if step.written is not None:
            step.written.synchronize()
        if not bool(step.values.isfinite().all()):
            raise FloatingPointError(_message(step))


def _is_late(values: Tensor) -> bool:
    """Whether values are yet to be computed, for an optimiser that will step."""
    # of a step that is compiled as a whole, the graph breaks here
    return values.is_cuda and torch.is_grad_enabled() and not is_compiling()


@lru_cache
def _read_before_steps() -> None:
    """Have every optimiser of this process begin its step by reading the losses."""
    register_optimizer_step_pre_hook(read_losses)


def _event() -> Any:
    """Mark this place among what the GPU has to do."""
    event = torch.cuda.Event()
    event.record()
    return event


def _values_of(taps: dict[Tap, Feature]) -> dict[Tap, Feature]:
    """Let go of the graph that the features are part of."""
    return {tap: f._replace(value=f.value.detach()) for tap, f in taps.items()}


def _message(step: _Step) -> str:
    values = dict(zip(step.names, step.values, strict=True))
    bad = {key: float(value) for key, value in values.items() if not value.isfinite()}
    good = {key: float(value) for key, value in values.items() if key not in bad}
    blame = _blame(step.outputs, step.features)
    return f'not finite: {bad}; the others: {good}. {blame}'


def parts_of(loss: Any) -> list[Tensor]:
    """List the parts of a loss, which may be one tensor, or one for each level."""
    return [*loss] if isinstance(loss, (list, tuple)) else [loss]


def _blame(outputs: dict[str, dict[Tap, Feature]], features: dict[Tap, Feature]) -> str:
    """Tell whose features were not finite, and what may help."""
    sides = {f"teacher '{name}'": taps for name, taps in outputs.items()}
    bad = {
        side: [tap.name for tap, f in taps.items() if not f.value.isfinite().all()]
        for side, taps in {**sides, 'the student': features}.items()
    }
    bad = {side: paths for side, paths in bad.items() if paths}
    found = '; '.join(f'{side} at {", ".join(paths)}' for side, paths in bad.items())
    if not bad:
        return (
            'The features of teachers and student are finite: lower the learning rate '
            'or that loss_weight'
        )
    if list(bad) == ['the student']:
        return f'Not finite are the features of {found}: lower the learning rate'
    if 'the student' in bad:
        return f'Not finite are the features of {found}: look at the images first'
    return (
        f'Not finite are the features of {found}, and none of the student: look at the '
        "teacher's weights, normalisation and precision; the learning rate is not to "
        'blame'
    )
