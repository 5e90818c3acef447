"""Frequency spectra of a layer's tokens, over the grid and over the channels."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class RadialSpectrum(NamedTuple):
    """Amplitude against radial frequency.

    Args:
        frequency: ``(R,)``, the middles of the rings, in cycles per token; 0 is the
            mean, 0.5 alternates from token to token, more is diagonal.
        amplitude: ``(R,)``, the mean over images, channels and a ring's frequencies.
    """

    frequency: Tensor
    amplitude: Tensor

    @property
    def log_amplitude(self) -> Tensor:
        """Natural logarithm, minus infinity where there is no amplitude."""
        return self.amplitude.log()


def radial_spectrum(tokens: Tensor, hw: tuple[int, int]) -> RadialSpectrum:
    """Average the amplitude of a 2-D FFT over rings of frequencies.

    Args:
        tokens: Patch tokens ``(B, N, C)``.
        hw: Their grid ``(H, W)``.

    Raises:
        ValueError: If the grid does not match the tokens.
    """
    amplitude = _fft_of_grid(tokens, hw).abs().mean((0, 1)).flatten()  # (H * W,)
    ring = (_radius(hw) * min(hw)).round().long().flatten().to(amplitude.device)
    count = ring.bincount()
    sums = torch.zeros(len(count), device=amplitude.device)
    mean = sums.index_add(0, ring, amplitude) / count
    return RadialSpectrum(torch.arange(len(count)) / min(hw), mean.cpu())


def high_frequency_share(
    tokens: Tensor, hw: tuple[int, int], cutoff: float = 0.25
) -> float:
    """Return which share of an image's variance over the grid lies above a frequency.

    The mean over the grid, frequency 0, is no part of the variance. White noise has
    the share of the frequencies that lie above.

    Args:
        tokens: Patch tokens ``(B, N, C)``.
        hw: Their grid ``(H, W)``.
        cutoff: In cycles per token. Defaults to 0.25, a period of four tokens.

    Returns:
        The mean over images, from 0 to 1; an image in which nothing varies has 0.

    Raises:
        ValueError: If the grid does not match the tokens.
    """
    power = _fft_of_grid(tokens, hw).abs().square().sum(1)  # (B, H, W)
    power[:, 0, 0] = 0
    high = _radius(hw).to(power.device) > cutoff + 1e-6
    total = power.sum((1, 2)).clamp(min=torch.finfo(power.dtype).tiny)
    return float((power[:, high].sum(1) / total).mean())


def channel_spectrum(layers: Sequence[Tensor]) -> Tensor:
    """Average the amplitude of an FFT over the channels, as in the code of
    `Distillation Dynamics <https://arxiv.org/abs/2511.06848>`_.

    A ViT's channels have no order, so it is no spectrum of anything in the image: a
    permutation of the weights changes it. Frequency 0 is the mean channel, and all
    others together are about the spread of the channels.

    Args:
        layers: Of every layer the patch tokens ``(B, N, C)``, of one width.

    Returns:
        ``(L, C)``, ``|FFT| / C``, the mean over images and tokens.

    Raises:
        ValueError: If the widths differ.
    """
    widths = sorted({x.shape[-1] for x in layers})
    if len(widths) != 1:
        raise ValueError(
            f'the spectra of layers of widths {widths} have other frequencies: give '
            'layers of one width'
        )
    spectra = [torch.fft.fft(x.float(), norm='forward').abs() for x in layers]
    return torch.stack([x.flatten(0, -2).mean(0) for x in spectra])


def spectral_energy(tokens: Tensor) -> Tensor:
    """Return how the energy of a token adds up over the frequencies of its channels.

    The spectral energy pattern of `From Per-Image Low-Rank to Encoding Mismatch
    <https://arxiv.org/abs/2511.15572>`_: the cumulative share of ``|FFT|**2`` over the
    channels, in the FFT's order, the mean over all tokens. White noise makes a straight
    line; a token whose channels go up and down together rises early.

    Args:
        tokens: ``(..., C)``.

    Returns:
        ``(C,)`` in float64, up to 1; tokens of zeros count as 0.
    """
    power = torch.fft.fft(tokens.flatten(0, -2).float()).abs().square().double()
    total = power.sum(1, keepdim=True)
    tiny = torch.finfo(total.dtype).tiny
    return (power.cumsum(1) / total.clamp(min=tiny)).mean(0)


def bandwidth(energy: Tensor, share: float) -> float:
    """Return the share of the frequencies that hold a share of the energy.

    Args:
        energy: ``(C,)``, of :func:`spectral_energy`.
        share: From 0 to 1, e.g. 0.9.

    Returns:
        Above 0, and 1 where it takes all of them.
    """
    reached = int((energy < share - 1e-9).sum()) + 1
    return min(reached, len(energy)) / len(energy)


def _fft_of_grid(tokens: Tensor, hw: tuple[int, int]) -> Tensor:
    """Transform ``(B, N, C)`` over the grid, to ``(B, C, H, W)``; keeps the norm."""
    if hw[0] * hw[1] != tokens.shape[1]:
        raise ValueError(
            f'a grid {hw} does not match {tokens.shape[1]} tokens: H * W must be N'
        )
    maps = tokens.float().transpose(1, 2).unflatten(2, hw)  # (B, C, H, W)
    return torch.fft.fft2(maps, norm='ortho')


def _radius(hw: tuple[int, int]) -> Tensor:
    """Radial frequency of every entry of an FFT over a grid, ``(H, W)``."""
    rows, columns = (torch.fft.fftfreq(side) for side in hw)
    return (rows[:, None].square() + columns.square()).sqrt()
