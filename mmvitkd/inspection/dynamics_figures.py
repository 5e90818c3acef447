"""Frequencies, entropy, magnitude and rank over depth, and over training."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmvitkd.analysis.dynamics import turning_layer
from mmvitkd.analysis.rank import variance_within

from .dynamics import MEASURES, Dynamics, DynamicsMeter
from .images import Image
from .models import Captured, Model
from .section import Written
from .style import GREY, SEQUENTIAL, colour, dashes, plain_numbers, slug, style

# those that the paper asks for a U-shape of
SHAPED = ('high_share', 'channel_amplitude', 'entropy', 'magnitude')
SPREAD = 30  # from the least to the largest value, beyond which an axis is logarithmic


class DynamicsFigures:
    """What every layer does to frequencies, entropy, magnitude and rank.

    Args:
        models: The first is the teacher, whose layers are held against the widths of
            the others. Those that are named ``RUN@EPOCH`` are checkpoints of a run,
            which are drawn over training.
    """

    def __init__(self, models: list[Model]) -> None:
        self._models = models
        self._meters = {model.name: DynamicsMeter() for model in models}

    def update(self, images: list[Image], outputs: list[Captured]) -> None:
        """Measure a batch."""
        for model, answer in zip(self._models, outputs, strict=True):
            self._meters[model.name].update([layer.tokens for layer in answer.layers])

    def write(self, out: Path) -> Written:
        """Write curves over depth, spectra, ranks, and heat maps over training."""
        written = Written('Dynamics: frequencies, entropy, magnitude, rank')
        found = {name: meter.compute() for name, meter in self._meters.items()}
        alone = {name: one for name, one in found.items() if _epoch(name) is None}
        if alone:
            self._write_depth(alone, out, written)
        for run, epochs in _runs(found).items():
            with style():
                figure = _draw_training(run, epochs)
            written.add_figure(
                figure,
                out,
                f'dynamics_training_{slug(run)}',
                f'{run}, over training',
                f'Heat maps, epochs of {run} by layers, one a measure.',
            )
        written.add_table(
            (
                [name, layer, *(one.values[m][layer] for m in MEASURES)]
                for name, one in found.items()
                for layer in range(len(one.tokens))
            ),
            ['model', 'layer', *MEASURES],
            out,
            'dynamics',
            'Dynamics of every layer',
        )
        written.numbers = {
            name: {
                'values': one.values,
                'shape': {m: describe_shape(one.values[m]) for m in SHAPED},
            }
            for name, one in found.items()
        }
        return written

    def _write_depth(
        self, found: dict[str, Dynamics], out: Path, written: Written
    ) -> None:
        places = {model.name: i for i, model in enumerate(self._models)}
        with style():
            figures = {
                'depth': _draw_depth(found, places),
                'spectra': _draw_spectra(found),
            }
        written.add_figure(
            figures['depth'],
            out,
            'dynamics_depth',
            'Over depth',
            'Curves over depth, one a model; a ring marks where a U-shape turns.',
        )
        written.add_figure(
            figures['spectra'],
            out,
            'dynamics_spectra',
            'Frequencies over the grid',
            'Curves of log-amplitude over radial frequency, one a layer.',
        )
        teacher = self._models[0]
        widths = sorted({m.width for m in self._models[1:]} - {teacher.width})
        if teacher.name in found and widths:
            with style():
                figure = _draw_rank(teacher.name, found[teacher.name], widths)
            written.add_figure(
                figure,
                out,
                'dynamics_rank',
                f"What a narrower model can hold of {teacher.name}'s layers",
                f'Dimensions of the layers of {teacher.name} against other widths.',
            )
        for name, one in found.items():
            shapes = {m: describe_shape(one.values[m]) for m in SHAPED}
            told = ', '.join(f'{MEASURES[m]}: {shape}' for m, shape in shapes.items())
            written.notes.append(f'Shape over depth of {name}: {told}.')


def describe_shape(values: list[float]) -> str:
    """Say whether values over depth make a U or an arch, and where it turns."""
    for shape, sign in (('U', 1), ('arch', -1)):
        turn = turning_layer([sign * value for value in values])
        if turn is not None:
            return f'{shape}, turns at layer {turn}'
    return 'neither U nor arch'


def _epoch(name: str) -> int | None:
    run, _, epoch = name.rpartition('@')
    return int(epoch) if run and epoch.isdigit() else None


def _runs(found: dict[str, Dynamics]) -> dict[str, dict[int, Dynamics]]:
    """Group checkpoints by run, in the order of their epochs."""
    runs: dict[str, dict[int, Dynamics]] = defaultdict(dict)
    for name in sorted(found, key=lambda name: _epoch(name) or 0):
        epoch = _epoch(name)
        if epoch is not None:
            runs[name.rpartition('@')[0]][epoch] = found[name]
    return runs


def _draw_depth(found: dict[str, Dynamics], places: dict[str, int]) -> Figure:
    shown = [m for m in MEASURES if m != 'dims90']
    figure, axes = plt.subplots(2, 3, figsize=(9, 5))
    same = len({len(one.tokens) for one in found.values()}) == 1
    for ax, measure in zip(axes.flat, shown, strict=True):
        for name, one in found.items():
            values = one.values[measure]
            depth = np.arange(len(values)) / (1 if same else max(len(values) - 1, 1))
            look = {'color': colour(places[name]), 'dashes': dashes(places[name])}
            ax.plot(depth, values, marker='o', ms=3, label=name, **look)
            turn = turning_layer(values) if measure in SHAPED else None
            if turn is not None:
                ax.plot(depth[turn], values[turn], 'o', ms=9, mfc='none', mec=GREY)
        ax.set(title=MEASURES[measure], xlabel='layer' if same else 'depth')
        ax.grid(axis='y')
        every = [value for one in found.values() for value in one.values[measure]]
        if max(every) > SPREAD * min(every) > 0:
            ax.set_yscale('log')
            plain_numbers(ax.yaxis)
        else:
            ax.set_ylim(bottom=0)
        if same:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_below(figure, axes[0][0])
    return figure


def _draw_spectra(found: dict[str, Dynamics]) -> Figure:
    """Draw the amplitude of all frequencies but the mean, the deeper the brighter."""
    figure, axes = plt.subplots(
        1, len(found), figsize=(1 + 2.6 * len(found), 3), sharey=True, squeeze=False
    )
    colours = colormaps[SEQUENTIAL]
    for ax, (name, one) in zip(axes[0], found.items(), strict=True):
        last = len(one.tokens) - 1
        for layer, (x, y) in enumerate(
            zip(one.frequency, one.log_amplitude, strict=True)
        ):
            shade = colours(0.9 * layer / max(last, 1))
            labelled = f'layer {layer}' if layer in (0, last // 2, last) else None
            ax.plot(x[1:], y[1:], color=shade, marker='o', ms=2, label=labelled)
        ax.set(title=name, xlabel='cycles per token')
        ax.grid(axis='y')
    axes[0][0].set_ylabel('log-amplitude')
    _legend_below(figure, axes[0][0])
    return figure


def _draw_rank(name: str, teacher: Dynamics, widths: list[int]) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3))
    for at, measure in enumerate(('effective_rank', 'dims90', 'dims99')):
        look = {'color': colour(at), 'dashes': dashes(at)}
        left.plot(
            teacher.values[measure], marker='o', ms=3, label=MEASURES[measure], **look
        )
    for width in widths:
        left.axhline(width, color=GREY, lw=1)
        left.annotate(
            f'width {width}',
            (1, width),
            xycoords=('axes fraction', 'data'),
            ha='right',
            va='bottom',
            color=GREY,
        )
    left.set(title=f"dimensions of {name}'s layers", xlabel='layer')
    left.set_ylim(bottom=0)
    _legend_below(figure, left)
    for at, width in enumerate(widths):
        lost = [100 * (1 - variance_within(v, width)) for v in teacher.variances]
        look = {'color': colour(at + 1), 'dashes': dashes(at)}
        right.plot(lost, marker='o', ms=3, label=f'width {width}', **look)
    right.set(title='variance beyond what a width can hold, %', xlabel='layer')
    right.set_ylim(bottom=0)
    right.legend()
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis='y')
    return figure


def _legend_below(figure: Figure, ax: Axes) -> None:
    lines, names = ax.get_legend_handles_labels()
    figure.legend(lines, names, loc='outside lower center', ncols=len(names))


def _draw_training(run: str, epochs: dict[int, Dynamics]) -> Figure:
    shown = ('high_share', 'entropy', 'magnitude', 'effective_rank')
    figure, axes = plt.subplots(1, len(shown), figsize=(11, 1.4 + 0.25 * len(epochs)))
    for ax, measure in zip(axes, shown, strict=True):
        _draw_map(ax, np.array([one.values[measure] for one in epochs.values()]))
        ax.set(title=MEASURES[measure], xlabel='layer')
        ax.set_yticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    axes[0].set_ylabel('epoch')
    figure.suptitle(run)
    return figure


def _draw_map(ax: Axes, values: np.ndarray) -> None:
    image = ax.imshow(values, cmap=SEQUENTIAL, aspect='auto')
    ax.figure.colorbar(image, ax=ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
