import math

import pytest
import torch

from mmvitkd.analysis.spectrum import (
    bandwidth,
    channel_spectrum,
    high_frequency_share,
    radial_spectrum,
    spectral_energy,
)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def wave(hw: tuple[int, int], rows: float, columns: float) -> torch.Tensor:
    """A cosine of so many cycles per token along the grid's two axes, ``(1, N, 1)``."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in hw), indexing='ij')
    return torch.cos(2 * math.pi * (rows * y + columns * x)).view(1, -1, 1)


def test_energy_of_a_token_by_hand():
    """All alike: the lowest frequency alone. One channel alone: all frequencies alike.
    Two tokens of the one and two of the other are the mean of both."""
    flat, point = torch.ones(1, 4), torch.tensor([[0.0, 3.0, 0.0, 0.0]])
    assert spectral_energy(flat).tolist() == pytest.approx([1, 1, 1, 1])
    assert spectral_energy(point).tolist() == pytest.approx([0.25, 0.5, 0.75, 1])
    both = spectral_energy(torch.stack([flat, point]))
    assert both.tolist() == pytest.approx([0.625, 0.75, 0.875, 1])
    assert spectral_energy(torch.zeros(1, 4)).tolist() == [0, 0, 0, 0]


def test_bandwidth_by_hand():
    energy = torch.tensor([0.25, 0.5, 0.75, 1.0])
    shares = {0.2: 0.25, 0.25: 0.25, 0.6: 0.75, 0.9: 1.0, 1.0: 1.0}
    assert {share: bandwidth(energy, share) for share in shares} == shares


def test_radial_spectrum_by_hand():
    """A 2x2 grid with 2 in one corner: amplitude 2 / sqrt(4) everywhere. Rings: the
    mean; rows and columns; the diagonal, 0.71, which rounds to the second one."""
    corner = torch.tensor([2.0, 0.0, 0.0, 0.0]).view(1, 4, 1)
    spectrum = radial_spectrum(corner, (2, 2))
    assert spectrum.frequency.tolist() == [0, 0.5]
    assert spectrum.amplitude.tolist() == pytest.approx([1, 1])
    assert spectrum.log_amplitude.tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize('hw', [(8, 8), (8, 12), (12, 8)])
@pytest.mark.parametrize('cycles', [(0, 0), (0, 0.25), (0.25, 0), (0.5, 0.5)])
def test_a_wave_lies_in_the_ring_of_its_frequency(hw, cycles):
    spectrum = radial_spectrum(wave(hw, *cycles), hw)
    radius = math.hypot(*cycles)
    (found,) = (spectrum.amplitude > 1e-4).nonzero()
    assert float(spectrum.frequency[found]) == pytest.approx(radius, abs=0.5 / min(hw))


def test_amplitude_grows_with_the_features_and_not_with_their_number():
    x = tokens(2, 64, 3)
    once = radial_spectrum(x, (8, 8)).amplitude
    assert torch.allclose(radial_spectrum(3 * x, (8, 8)).amplitude, 3 * once)
    assert torch.allclose(radial_spectrum(x.repeat(2, 1, 2), (8, 8)).amplitude, once)


def test_turning_the_image_changes_no_ring():
    x = tokens(2, 64, 3)
    turned = x.unflatten(1, (8, 8)).rot90(1, (1, 2)).flatten(1, 2)
    before, after = (radial_spectrum(t, (8, 8)).amplitude for t in (x, turned))
    assert torch.allclose(before, after, atol=1e-5)


def test_high_frequency_share_of_waves():
    hw = (8, 8)
    slow, fast = wave(hw, 0.125, 0), wave(hw, 0, 0.5)
    assert high_frequency_share(slow, hw) == pytest.approx(0, abs=1e-6)
    assert high_frequency_share(fast, hw) == pytest.approx(1)
    # a cosine of several tokens' period has the power 1/2 of one that alternates
    assert high_frequency_share(slow + fast, hw) == pytest.approx(2 / 3)
    # the cutoff itself is not above it
    assert high_frequency_share(wave(hw, 0.25, 0), hw) == pytest.approx(0, abs=1e-6)
    assert high_frequency_share(wave(hw, 0.25, 0), hw, cutoff=0.2) == pytest.approx(1)


def test_high_frequency_share_ignores_mean_and_scale():
    x = tokens(2, 64, 3)
    before = high_frequency_share(x, (8, 8))
    assert high_frequency_share(5 * x + 100, (8, 8)) == pytest.approx(before, rel=1e-3)
    assert high_frequency_share(torch.ones(2, 64, 3), (8, 8)) == 0


def test_high_frequency_share_is_the_mean_over_images():
    """Or the image with the largest features would decide."""
    hw = (8, 8)
    both = torch.cat([100 * wave(hw, 0.125, 0), wave(hw, 0, 0.5)])
    assert high_frequency_share(both, hw) == pytest.approx(0.5)
    dark = torch.cat([torch.zeros(1, 64, 1), wave(hw, 0, 0.5)])
    assert high_frequency_share(dark, hw) == pytest.approx(0.5)


def test_white_noise_has_the_share_of_the_frequencies():
    """Of an 8x8 grid, those of up to two cycles but the mean are not above 0.25."""
    within = [
        (y, x) for y in range(-4, 4) for x in range(-4, 4) if 0 < math.hypot(y, x) <= 2
    ]
    share = high_frequency_share(tokens(64, 64, 64), (8, 8))
    assert share == pytest.approx(1 - len(within) / 63, rel=0.01)


def test_half_precision_is_transformed_in_float32():
    x = (100 * tokens(2, 64, 3)).half()
    assert high_frequency_share(x, (8, 8)) == high_frequency_share(x.float(), (8, 8))


@pytest.mark.parametrize('function', [radial_spectrum, high_frequency_share])
def test_another_grid_is_refused(function):
    with pytest.raises(ValueError, match=r'grid \(3, 4\) does not match 64'):
        function(tokens(2, 64, 3), (3, 4))


def test_channel_spectrum_by_hand():
    """Channels (3, 1): mean 2, half of the difference 1. (-3, -1) has the same
    amplitudes; (0, 0) none."""
    first = torch.tensor([[[3.0, 1.0], [-3.0, -1.0]]])
    second = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
    spectrum = channel_spectrum([first, second])
    assert spectrum.tolist() == [[2.0, 1.0], [1.0, 0.5]]


def test_channel_spectrum_is_the_released_formula():
    layers = [tokens(2, 9, 6), tokens(2, 9, 6) ** 2]
    stacked = torch.stack(layers)  # (L, B, N, C)
    released = (torch.fft.fft(stacked, dim=3) / 6).abs().mean((1, 2))
    assert torch.allclose(channel_spectrum(layers), released)
    # the order of the tokens is nothing to it, that of the channels is
    assert torch.allclose(channel_spectrum([x.flip(1) for x in layers]), released)
    shuffled = channel_spectrum([x[..., [0, 2, 4, 1, 3, 5]] for x in layers])
    assert not torch.allclose(shuffled, released)


def test_channel_spectrum_refuses_several_widths():
    with pytest.raises(ValueError, match=r'widths \[4, 6\]'):
        channel_spectrum([tokens(2, 9, 6), tokens(2, 9, 4)])
