"""The sections of an analysis, by name; importing this loads none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .images import Image
    from .models import Model
    from .section import Section

FEWEST = 4  # images of a minibatch, which the unbiased HSIC needs


def _attention(
    models: list[Model],
    layers: list[int] | None,
    shown: Sequence[Image],
    classes: Sequence[str],
) -> Section:
    from .attention_figures import AttentionFigures

    return AttentionFigures(models, layers, shown, classes)


def _distance(models: list[Model], *_: object) -> Section:
    from .distance_figures import DistanceFigures

    return DistanceFigures(models)


def _dynamics(models: list[Model], *_: object) -> Section:
    from .dynamics_figures import DynamicsFigures

    return DynamicsFigures(models)


# every section is built from the models and the options of the attention's figures
SECTIONS: dict[
    str,
    Callable[[list[Model], list[int] | None, Sequence[Image], Sequence[str]], Section],
] = {
    'attention': _attention,
    'distance': _distance,
    'dynamics': _dynamics,
}
