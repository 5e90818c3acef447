"""Measure every layer of a model, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmvitkd.analysis.dynamics import activation_entropy, activation_magnitude
from mmvitkd.analysis.rank import Covariance, dimensions_for, effective_rank
from mmvitkd.analysis.spectrum import (
    channel_spectrum,
    high_frequency_share,
    radial_spectrum,
)
from mmvitkd.models.classifiers.tap import Feature

# what is measured of a layer, and its title
MEASURES = {
    'high_share': 'share of high frequencies',
    'channel_amplitude': 'FFT over channels, amplitude',
    'entropy': 'entropy, bits',
    'magnitude': 'mean magnitude',
    'effective_rank': 'effective rank',
    'dims90': 'dimensions of 90 % variance',
    'dims99': 'dimensions of 99 % variance',
}
# entropies are the mean over so many tokens of a batch, spread evenly; their range is
# only known after the last one, and to keep every token would take gigabytes
TOKENS = 1024


@dataclass(frozen=True)
class Dynamics:
    """What was measured of one model, a number a layer, shallow to deep.

    Args:
        values: Of every measure of :data:`MEASURES`.
        frequency: Of a layer's rings, ``(R,)``, in cycles per token.
        log_amplitude: On these rings, ``(R,)``.
        variances: Of a layer's principal axes, ``(C,)``.
        tokens: How many there were of a layer, in all images.
        rms: Root of the mean square of a layer's numbers.
    """

    values: dict[str, list[float]]
    frequency: list[Tensor]
    log_amplitude: list[Tensor]
    variances: list[Tensor]
    tokens: list[int]
    rms: list[float]


class DynamicsMeter:
    """Measures a model's layers from what they yield for one batch after another."""

    def __init__(self) -> None:
        self._images = 0
        self._ends = (torch.inf, -torch.inf)

    def update(self, layers: Sequence[Feature]) -> None:
        """Take a batch: patch tokens ``(B, N, C)`` and grid of every layer."""
        tokens = [layer.value for layer in layers]
        grids = [layer.hw for layer in layers if layer.hw]  # patch tokens have one
        if not self._images:
            self._covariances = [Covariance() for _ in layers]
            self._some: list[list[Tensor]] = [[] for _ in layers]
            self._amplitudes = [torch.zeros(()) for _ in layers]
            self._sums = {
                name: torch.zeros(len(layers), dtype=torch.float64)
                for name in ('high_share', 'channel_amplitude', 'magnitude')
            }
        count = len(tokens[0])
        self._images += count
        low, high = self._ends
        self._ends = (
            min(low, *(float(x.min()) for x in tokens)),
            max(high, *(float(x.max()) for x in tokens)),
        )
        spectra = [radial_spectrum(x, hw) for x, hw in zip(tokens, grids, strict=True)]
        self._frequency = [spectrum.frequency for spectrum in spectra]
        for i, x in enumerate(tokens):
            self._covariances[i].update(x)
            flat = x.flatten(0, 1)
            self._some[i].append(flat[:: -(-len(flat) // TOKENS)].cpu())
            total = self._amplitudes[i] + count * spectra[i].amplitude
            self._amplitudes[i] = total
        for name, now in {
            'high_share': [
                high_frequency_share(x, hw) for x, hw in zip(tokens, grids, strict=True)
            ],
            'channel_amplitude': [float(channel_spectrum([x]).mean()) for x in tokens],
            'magnitude': activation_magnitude(tokens).tolist(),
        }.items():
            self._sums[name] += count * torch.tensor(now, dtype=torch.float64)

    def compute(self) -> Dynamics:
        """Return the measurements.

        Raises:
            ValueError: If there was no batch.
        """
        if not self._images:
            raise ValueError('dynamics of no images: call update first')
        variances = [
            covariance.principal_variances() for covariance in self._covariances
        ]
        some = [torch.cat(parts) for parts in self._some]
        found = {name: total / self._images for name, total in self._sums.items()}
        found['entropy'] = activation_entropy(some, ends=self._ends)
        values = {name: found[name].tolist() for name in MEASURES if name in found}
        values['effective_rank'] = [effective_rank(v) for v in variances]
        values['dims90'] = [dimensions_for(v, 0.9) for v in variances]
        values['dims99'] = [dimensions_for(v, 0.99) for v in variances]
        return Dynamics(
            values,
            self._frequency,
            [(total / self._images).log() for total in self._amplitudes],
            variances,
            [covariance.count for covariance in self._covariances],
            [
                float(covariance.principal_moments().mean().sqrt())
                for covariance in self._covariances
            ],
        )
