"""Whether a student is wide enough for what a teacher's tokens need together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmvitkd.analysis.rank import Covariance, dimensions_for, image_dimensions
from mmvitkd.analysis.spectrum import bandwidth, spectral_energy

ENERGY = 0.95  # of an image, and of all images, held by so many dimensions
SPECTRUM = 0.9  # of a token


@dataclass(frozen=True)
class Encoding:
    """What the tokens of a layer need, by `From Per-Image Low-Rank to Encoding Mismatch
    <https://arxiv.org/abs/2511.15572>`_.

    Args:
        width: How many channels it has.
        image: Dimensions of 95 % of an image's energy, the mean over images.
        together: Of 95 % of that of all images.
        bandwidth: Share of a token's frequencies, from the lowest on, that hold 90 % of
            its energy, of the mean over tokens.
    """

    width: int
    image: float
    together: int
    bandwidth: float

    def is_mismatch(self, width: int) -> bool:
        """Whether a student can hold every image by itself, but not all of them."""
        return self.image <= width < self.together

    def describe(self, width: int) -> str:
        """Tell the numbers, beside a student's width."""
        return (
            f'{ENERGY:.0%} of the energy of its tokens lies in {self.image:.0f} of '
            f'{self.width} dimensions for one image, and in {self.together} for all '
            f'images; {SPECTRUM:.0%} of that of a token within {self.bandwidth:.2f} of '
            f'its frequencies. The student has {width} channels.'
        )


class EncodingMeter:
    """Measures a layer's encoding from one batch of tokens after another."""

    def __init__(self) -> None:
        self._covariance = Covariance()
        self._dimensions: list[Tensor] = []
        self._energy: Tensor | None = None
        self._tokens = 0

    def update(self, tokens: Tensor) -> None:
        """Take patch tokens ``(B, N, C)``."""
        self._covariance.update(tokens)
        self._dimensions.append(image_dimensions(tokens, ENERGY).cpu())
        count = tokens.shape[0] * tokens.shape[1]
        total = count * spectral_energy(tokens).cpu()
        self._energy = total if self._energy is None else self._energy + total
        self._tokens += count

    def compute(self) -> Encoding:
        """Return what was measured.

        Raises:
            ValueError: If there was no batch.
        """
        moments = self._covariance.principal_moments()
        assert self._energy is not None  # as there were tokens
        return Encoding(
            len(moments),
            float(torch.cat(self._dimensions).float().mean()),
            dimensions_for(moments, ENERGY),
            bandwidth(self._energy / self._tokens, SPECTRUM),
        )
