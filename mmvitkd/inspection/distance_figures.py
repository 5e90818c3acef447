"""How far every later model's layers are from the first model's, the teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from mmvitkd.analysis import (
    LinearCKA,
    attention_divergence,
    attention_maps,
    relation_angle,
    relation_difference,
)
from mmvitkd.models.classifiers.tap import Feature

from .images import Image
from .models import Captured, Model
from .section import Written
from .style import SEQUENTIAL, draw_depth, plain_numbers, slug, style


class Measure(NamedTuple):
    """A way to compare two layers: its title, and how it is drawn."""

    title: str
    same: int
    top: float | None = None
    log: bool = False


MEASURES = {
    'cka': Measure('linear CKA', same=1, top=1),
    'attention_kl': Measure('attention KL, nats', same=0),
    'relation_angle': Measure('relations, 1 - cosine', same=0),
    'relation_difference': Measure('relations, mean square', same=0, log=True),
}


class DistanceFigures:
    """Distance of every layer of the later models from every layer of the first.

    Args:
        models: The first is the teacher.
    """

    def __init__(self, models: list[Model]) -> None:
        self.teacher, self.students = models[0], models[1:]
        self._places = {model.name: i for i, model in enumerate(models)}
        self._cka = {model.name: LinearCKA() for model in self.students}
        self._sums: dict[tuple[str, str], Tensor] = {}
        self._seen = 0

    def update(self, images: list[Image], outputs: list[Captured]) -> None:
        """Add a batch to the means."""
        theirs = _tokens(outputs[0])
        their_maps = _maps(self.teacher, outputs[0])
        for model, answer in zip(self.students, outputs[1:], strict=True):
            ours, our_maps = _tokens(answer), _maps(model, answer)
            self._cka[model.name].update(
                [x.value for x in ours], [y.value for y in theirs]
            )
            for name, function, x, y in (
                ('attention_kl', attention_divergence, our_maps, their_maps),
                ('relation_angle', relation_angle, ours, theirs),
                ('relation_difference', relation_difference, ours, theirs),
            ):
                total = len(images) * _every_pair(function, x, y)
                key = model.name, name
                self._sums[key] = self._sums[key] + total if self._seen else total
        self._seen += len(images)

    def write(self, out: Path) -> Written:
        """Write heat maps for every student, and all numbers as a table."""
        written = Written(f'Distance from {self.teacher.name}')
        if not self.students:
            written.notes.append(f'{self.teacher.name} alone: no distance to measure.')
            return written
        found = {model.name: self._measured(model) for model in self.students}
        for model in self.students:
            self._note(model, found[model.name], written)
        self._write_figures(found, out, written)
        written.add_table(
            (
                [name, i, j, *(float(found[name][m][i, j]) for m in MEASURES)]
                for name in found
                for i, j in np.ndindex(found[name]['cka'].shape)
            ),
            ['model', 'layer', 'teacher_layer', *MEASURES],
            out,
            'distance',
            written.title,
        )
        written.numbers = {
            name: {measure: _plain(values) for measure, values in measured.items()}
            for name, measured in found.items()
        }
        return written

    def _write_figures(
        self, found: dict[str, dict[str, np.ndarray]], out: Path, written: Written
    ) -> None:
        scales = {
            m: _scale(m, [values[m] for values in found.values()]) for m in MEASURES
        }
        teacher = self.teacher.name
        for name, measured in found.items():
            with style():
                figure = _draw_heat_maps(measured, scales, name, teacher)
            written.add_figure(
                figure,
                out,
                f'distance_{slug(name)}',
                f'{name} from {teacher}, layer by layer',
                f'Heat maps, layers of {name} by layers of {teacher}.',
            )
        if all(len(m.blocks) == len(self.teacher.blocks) for m in self.students):
            with style():
                figure = _draw_depth(found, self._places)
            written.add_figure(
                figure,
                out,
                'distance_by_depth',
                f'Every layer from the same layer of {teacher}',
                'Curves of the distance over depth, one a student.',
            )

    def _measured(self, model: Model) -> dict[str, np.ndarray]:
        """Return ``(layers, teacher's layers)`` for every measure."""
        means = {'cka': self._cka[model.name].compute()}
        for name in MEASURES:
            if name != 'cka':
                means[name] = self._sums[model.name, name] / self._seen
        return {name: values.cpu().numpy() for name, values in means.items()}

    def _note(
        self, model: Model, found: dict[str, np.ndarray], written: Written
    ) -> None:
        """Say what could not be compared, and why."""
        pair = f'{model.name} and {self.teacher.name}'
        if np.isnan(found['relation_difference']).all():
            grids = ' and '.join(
                'x'.join(map(str, m.grid)) for m in (model, self.teacher)
            )
            written.notes.append(
                f'Relations of {pair} not compared: their grids are {grids}.'
            )
        for one in (model, self.teacher):
            if one.no_maps is not None:
                written.notes.append(
                    f'Attention of {pair} not compared: in {one.name}, {one.no_maps}.'
                )
                return
        if np.isnan(found['attention_kl']).all():
            tokens = ' and '.join(
                f'{m.grid[0] * m.grid[1]}+{m.extra_tokens}'
                for m in (model, self.teacher)
            )
            written.notes.append(
                f'Attention of {pair} not compared: their tokens, patches and others, '
                f'are {tokens}.'
            )


def _tokens(answer: Captured) -> list[Feature]:
    return [layer.tokens for layer in answer.layers]


def _maps(model: Model, answer: Captured) -> list[Feature | None]:
    """Attention maps, the mean over heads, with the grid of their patch tokens."""
    return [
        None
        if layer.qkv is None
        else Feature(
            attention_maps(layer.qkv, model.num_heads(block)).mean(1, keepdim=True),
            layer.tokens.hw,
        )
        for block, layer in zip(model.blocks, answer.layers, strict=True)
    ]


def _every_pair(
    function: Callable[[Tensor, Tensor], Tensor],
    ours: Sequence[Feature | None],
    theirs: Sequence[Feature | None],
) -> Tensor:
    """Compare all layers with all; NaN where the tokens are not the same."""
    table = torch.full((len(ours), len(theirs)), torch.nan, dtype=torch.float64)
    for (i, x), (j, y) in product(enumerate(ours), enumerate(theirs)):
        if x is None or y is None or x.hw != y.hw:
            continue
        if x.value.shape[-2] == y.value.shape[-2]:  # with the same extra tokens
            table[i, j] = function(x.value, y.value).double()
    return table


def _plain(values: np.ndarray) -> list[list[float | None]]:
    """Lists of numbers, None for NaN, which JSON has not."""
    return [[None if np.isnan(v) else float(f'{v:.6g}') for v in row] for row in values]


def _scale(measure: str, tables: list[np.ndarray]) -> dict[str, Any]:
    """Return the colours' range, the same for all students."""
    kind = MEASURES[measure]
    values = np.concatenate([table.ravel() for table in tables])
    positive = values[values > 0]
    if not len(positive):  # nothing to compare, or nothing but zeros
        return {'vmin': 0, 'vmax': 1}
    if kind.log:
        return {'norm': LogNorm(positive.min(), positive.max(), clip=True)}
    return {'vmin': 0, 'vmax': kind.top or positive.max()}


def _draw_heat_maps(
    found: dict[str, np.ndarray], scales: dict[str, Any], name: str, teacher: str
) -> Figure:
    shown = {m: values for m, values in found.items() if not np.isnan(values).all()}
    figure, axes = plt.subplots(
        1, len(shown), figsize=(3.1 * len(shown), 3.2), squeeze=False
    )
    for ax, (measure, values) in zip(axes[0], shown.items(), strict=True):
        kind = MEASURES[measure]
        ax.set_facecolor('#dddddd')  # where nothing can be compared
        # the brightest is the nearest, in all of them
        colours = SEQUENTIAL if kind.same else f'{SEQUENTIAL}_r'
        image = ax.imshow(values, cmap=colours, origin='lower', **scales[measure])
        bar = figure.colorbar(image, ax=ax, shrink=0.7)
        if kind.log:
            plain_numbers(bar.ax.yaxis)
        ax.set(title=f'{kind.title}\n(bright: near)', xlabel=f'layer of {teacher}')
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel(f'layer of {name}')
    figure.suptitle(f'{name} and {teacher}')
    return figure


def _draw_depth(
    found: dict[str, dict[str, np.ndarray]], places: dict[str, int]
) -> Figure:
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(3.1 * len(MEASURES), 2.9))
    for ax, (measure, kind) in zip(axes, MEASURES.items(), strict=True):
        for name, measured in found.items():
            draw_depth(ax, list(measured[measure].diagonal()), places[name], name)
        ax.set_title(f'{kind.title}\n({kind.same}: the same)')
        lines = [measured[measure].diagonal() for measured in found.values()]
        if kind.log and any(line.any() for line in lines):
            ax.set_yscale('log')
            plain_numbers(ax.yaxis)
        elif not kind.log:
            ax.set_ylim(0, kind.top and 1.03 * kind.top)  # the marker of the top, whole
    axes[0].legend()
    return figure
