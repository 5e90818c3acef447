"""Whose numbers are to blame when a loss is not finite."""

from typing import Any

import torch
from torch import Tensor

from .tap import Feature, Tap


def check_finite(
    losses: dict[str, Any],
    outputs: dict[str, dict[Tap, Feature]],
    features: dict[Tap, Feature],
) -> None:
    """Stop at a loss that is NaN or infinite.

    Args:
        losses: Of a step, by name; detectors have lists of them, one a level.
        outputs: The teachers', by name.
        features: The student's.

    Raises:
        FloatingPointError: If one is; it tells which, and on which side the features
            or logits were not finite.
    """
    values = {
        key: torch.stack([part.detach().mean() for part in parts_of(loss)]).sum()
        for key, loss in losses.items()
        if 'loss' in key
    }
    if not values or bool(torch.stack(list(values.values())).isfinite().all()):
        return
    bad = {key: float(value) for key, value in values.items() if not value.isfinite()}
    good = {key: float(value) for key, value in values.items() if key not in bad}
    raise FloatingPointError(
        f'not finite: {bad}; the others: {good}. {_blame(outputs, features)}'
    )


def parts_of(loss: Any) -> list[Tensor]:
    """List the parts of a loss, which may be one tensor, or one for each level."""
    return [*loss] if isinstance(loss, (list, tuple)) else [loss]


def _blame(outputs: dict[str, dict[Tap, Feature]], features: dict[Tap, Feature]) -> str:
    """Tell whose features were not finite, and what may help."""
    sides = {f"teacher '{name}'": taps for name, taps in outputs.items()}
    bad = {
        side: [tap.path for tap, f in taps.items() if not f.value.isfinite().all()]
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
