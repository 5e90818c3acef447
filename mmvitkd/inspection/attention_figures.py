"""Figures 1 and 4 of the paper, and where the class token of an image looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mmvitkd.analysis import (
    attention_maps,
    attention_rollout,
    class_attention,
    diagonal_ratio,
    effective_keys,
    mean_attention,
)
from mmvitkd.utils.class_names import name_class

from .images import Image
from .models import Captured, Model
from .section import Written
from .style import SEQUENTIAL, draw_depth, slug, style

# of the values that a panel shows, the others are drawn as the brightest
BRIGHTEST = 0.995


class AttentionFigures:
    """Attention of every model: means over all images, and single ones.

    Args:
        models: In the order of the rows.
        layers: Which to show. Defaults to None: five, the first two, the middle and the
            last two of every model.
        shown: Images to show one by one. Defaults to none.
        classes: Names of the classes. Defaults to none: their numbers are shown.

    Raises:
        ValueError: If a model has not as many layers.
    """

    def __init__(
        self,
        models: list[Model],
        layers: list[int] | None = None,
        shown: Sequence[Image] = (),
        classes: Sequence[str] = (),
    ) -> None:
        self.models = models
        self.classes = classes
        self._shown = {id(image): image for image in shown}
        self.layers = {m.name: _choose_layers(m, layers) for m in models}
        self._able = [model for model in models if model.no_maps is None]
        self._sums: dict[str, list[Tensor]] = {}
        self._summary: dict[str, Tensor] = {}  # (layers, 2)
        self._seen = 0
        self._looks: list[tuple[Image, dict[str, Any]]] = []

    def update(self, images: list[Image], outputs: list[Captured]) -> None:
        """Add a batch to the means."""
        places = [i for i, image in enumerate(images) if id(image) in self._shown]
        looks: list[dict[str, Any]] = [{} for _ in places]
        for model, answer in zip(self.models, outputs, strict=True):
            if model.no_maps is not None:
                continue
            maps = [
                attention_maps(layer.qkv, model.num_heads(block))
                for block, layer in zip(model.blocks, answer.layers, strict=True)
                if layer.qkv is not None
            ]
            weight = len(images)
            means = [weight * mean_attention(m) for m in maps]
            kinds = [[diagonal_ratio(m), effective_keys(m)] for m in maps]
            summary = weight * torch.tensor(kinds)
            if self._seen:
                old = self._sums[model.name]
                means = [a + b for a, b in zip(old, means, strict=True)]
                summary += self._summary[model.name]
            self._sums[model.name], self._summary[model.name] = means, summary
            if places and model.extra_tokens:
                maps = [m[places] for m in maps]
                self._look(model, answer.logits[places], maps, looks)
        self._seen += len(images)
        chosen = (images[i] for i in places)
        self._looks += list(zip(chosen, looks, strict=True))

    def _look(
        self, model: Model, logits: Tensor, maps: list[Tensor], looks: list[Any]
    ) -> None:
        """Keep where the class token of each of some images looks."""
        hw = model.grid
        rows = [(str(i), class_attention(maps[i], hw)) for i in self.layers[model.name]]
        rows.append(('rollout', class_attention(attention_rollout(maps), hw)))
        for i, look in enumerate(looks):
            look[model.name] = {
                'answer': self._class(int(logits[i].argmax()), logits.shape[1]),
                'maps': {what: grids[i].cpu().numpy() for what, grids in rows},
            }

    def _class(self, index: int, of: int) -> str:
        """Name one of a model's classes; others than the data set's have a number."""
        names = self.classes if of == len(self.classes) else ()
        return name_class(index, names, 16)

    def write(self, out: Path) -> Written:
        """Write the figures, and a table for every panel."""
        written = Written('Attention')
        for model in self.models:
            if model.no_maps is not None:
                written.notes.append(
                    f'No attention maps of {model.name}: {model.no_maps}.'
                )
            elif not model.extra_tokens:
                written.notes.append(
                    f'{model.name} has no class token whose attention could be shown.'
                )
        if self._able:
            self._write_means(out, written)
            self._write_summary(out, written)
        self._write_looks(out, written)
        return written

    def _write_means(self, out: Path, written: Written) -> None:
        panels = []
        for model in self._able:
            sums = self._sums[model.name]
            shown = self.layers[model.name]
            means = [(i, (sums[i] / self._seen).cpu().numpy()) for i in shown]
            panels.append((model, means))
        with style():
            figure = _draw_means(panels, self._seen)
        names = ', '.join(model.name for model in self._able)
        written.add_figure(
            figure,
            out,
            'attention_maps',
            'Attention, query by key',
            f'Mean attention maps of {names}, a row a model, a column a layer.',
        )
        for model, means in panels:
            for i, values in means:
                written.add_table(
                    ([q, *row] for q, row in enumerate(values.tolist())),
                    ['query', *range(len(values))],
                    out,
                    f'attention_maps/{slug(model.name)}_layer{i:02d}',
                    f'Attention of {model.name}, layer {i}',
                )

    def _write_summary(self, out: Path, written: Written) -> None:
        summary = {
            model.name: (self._summary[model.name] / self._seen).tolist()
            for model in self._able
        }
        with style():
            figure = _draw_summary(summary, [m.name for m in self.models])
        written.add_figure(
            figure,
            out,
            'attention_summary',
            'Attention to oneself, and to how many',
            'Over depth: attention of a token to itself, and how many keys are shared.',
        )
        written.add_table(
            (
                [name, i, *values]
                for name, rows in summary.items()
                for i, values in enumerate(rows)
            ),
            ['model', 'layer', 'diagonal_ratio', 'effective_keys'],
            out,
            'attention_summary',
            'Attention to oneself, and to how many',
        )
        written.numbers = {
            name: {
                'diagonal_ratio': [row[0] for row in rows],
                'effective_keys': [row[1] for row in rows],
            }
            for name, rows in summary.items()
        }

    def _write_looks(self, out: Path, written: Written) -> None:
        looks = [(image, look) for image, look in self._looks if look]
        for number, (image, look) in enumerate(looks):
            with style():
                figure = _draw_look(image, look, self.classes)
            written.add_figure(
                figure,
                out,
                f'class_attention/{number:02d}',
                f'Class token, {image.name}',
                f'Attention of the class token in {image.name}, by layer and rollout.',
            )
        if looks:
            written.add_table(
                (
                    [image.name, name, what, y, x, value]
                    for image, look in looks
                    for name, seen in look.items()
                    for what, grid in seen['maps'].items()
                    for y, row in enumerate(grid.tolist())
                    for x, value in enumerate(row)
                ),
                ['image', 'model', 'layer', 'row', 'column', 'attention'],
                out,
                'class_attention',
                'Where the class token looks',
            )


def _choose_layers(model: Model, layers: list[int] | None) -> list[int]:
    """Return the layers to show, of a model's own depth."""
    depth = len(model.blocks)
    if layers is None:
        layers = sorted(
            {0, min(1, depth - 1), depth // 2, max(depth - 2, 0), depth - 1}
        )
    unknown = [i for i in layers if not 0 <= i < depth]
    if unknown:
        raise ValueError(
            f"model '{model.name}' has the layers 0 to {depth - 1}, but not "
            f'{", ".join(map(str, unknown))}'
        )
    return list(dict.fromkeys(layers))


def _draw_means(
    panels: list[tuple[Model, list[tuple[int, np.ndarray]]]], images: int
) -> Figure:
    """Draw a row a model and a column a layer, each with its own scale."""
    columns = max(len(means) for _, means in panels)
    figure, axes = plt.subplots(
        len(panels),
        columns,
        figsize=(1.9 * columns + 0.6, 1.75 * len(panels) + 0.5),
        squeeze=False,
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for row, (model, means) in zip(axes, panels, strict=True):
        for ax, (layer, values) in zip(row, means, strict=False):
            _draw_map(figure, ax, values)
            ax.set_title(f'layer {layer}')
        row[0].set_ylabel(f'{model.name}\nquery')
    for ax in axes[-1]:
        ax.set_xlabel('key')
    figure.suptitle(f'Attention, mean over heads and {images} images')
    return figure


def _draw_map(figure: Figure, ax: Axes, values: np.ndarray) -> None:
    ax.set_axis_on()
    top = float(np.quantile(values, BRIGHTEST))
    shown = ax.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=top)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    extend = 'max' if top < values.max() else 'neither'
    bar = figure.colorbar(
        shown, ax=ax, fraction=0.046, pad=0.03, ticks=[0, top], extend=extend
    )
    bar.ax.set_yticklabels(['0', f'{top:.2g}'], fontsize=7)
    bar.outline.set_visible(False)


def _draw_summary(summary: dict[str, list[list[float]]], names: list[str]) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.9))
    titles = (
        ('attention to oneself', 'times the average'),
        ('keys that the queries share', 'effective number'),
    )
    for kind, (ax, (title, label)) in enumerate(zip(axes, titles, strict=True)):
        for name, rows in summary.items():
            draw_depth(ax, [row[kind] for row in rows], names.index(name), name)
        ax.set(title=title, ylabel=label)
        ax.set_ylim(bottom=0)
    axes[0].legend()
    return figure


def _draw_look(image: Image, look: dict[str, Any], classes: Sequence[str]) -> Figure:
    """Draw a row a model: the image, then the class token's attention upon it."""
    columns = 1 + max(len(seen['maps']) for seen in look.values())
    figure, axes = plt.subplots(
        len(look), columns, figsize=(1.5 * columns, 1.75 * len(look)), squeeze=False
    )
    height, width = image.pixels.shape[:2]
    for ax in axes.flat:
        ax.set_axis_off()
        ax.set_rasterization_zorder(1)  # photo and map as one image in an SVG
    for row, (name, seen) in zip(axes, look.items(), strict=True):
        row[0].imshow(image.pixels)
        row[0].set_title(f'{name}: {seen["answer"]}')
        for ax, (what, grid) in zip(row[1:], seen['maps'].items(), strict=False):
            ax.imshow(image.pixels)
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            ax.imshow(grid, cmap=SEQUENTIAL, alpha=0.65, extent=extent, vmin=0)
            ax.set_title(what if what == 'rollout' else f'layer {what}')
    label = ''
    if image.label is not None:
        label = f', label {name_class(image.label, classes)}'
    figure.suptitle(f'{image.name}{label}; brightest: where each looks most')
    return figure
