import math

import numpy as np
import pytest
import torch

from mmvitkd.analysis.dynamics import (
    activation_entropy,
    activation_magnitude,
    turning_layer,
)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_entropy_by_hand():
    """Two bins, of 0 to 2 and 2 to 4. Tokens with all four channels in one: 0 bits;
    with two in each: 1 bit; with three in one: 0.811."""
    layer = torch.tensor([[[0.0, 0, 1, 1], [0, 1, 3, 4], [0, 1, 1, 4]]])
    three = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    entropy = activation_entropy([layer], bins=2)
    assert entropy.tolist() == pytest.approx([(0 + 1 + three) / 3])


def test_entropy_is_numpys_histogram_of_every_token():
    """As the released code has it: over the channels, with the range of all layers."""
    layers = [tokens(2, 3, 20), 3 * tokens(2, 3, 20) + 1]
    both = torch.stack(layers)
    ends = (float(both.min()), float(both.max()))
    for layer, entropy in zip(layers, activation_entropy(layers), strict=True):
        bits = []
        for row in layer.flatten(0, 1).numpy():
            p = np.histogram(row, bins=100, range=ends)[0] / 20
            bits.append(-sum(p[p > 0] * np.log2(p[p > 0])))
        assert float(entropy) == pytest.approx(np.mean(bits), rel=1e-5)


def test_entropy_depends_on_the_range_of_the_other_layers():
    layer = tokens(2, 9, 64)
    alone = activation_entropy([layer])[0]
    assert activation_entropy([layer, 10 * layer])[0] < alone
    assert activation_entropy([layer, layer])[1] == alone


def test_entropy_of_some_tokens_with_the_ends_of_all():
    layers = [tokens(4, 9, 64), 3 * tokens(4, 9, 64).flip(0)]
    ends = (min(float(x.min()) for x in layers), max(float(x.max()) for x in layers))
    halves = [
        activation_entropy([x[part] for x in layers], ends=ends)
        for part in (slice(2), slice(2, 4))
    ]
    assert torch.allclose(sum(halves) / 2, activation_entropy(layers))
    with pytest.raises(ValueError, match=r'beyond the ends \(-1, 1\)'):
        activation_entropy(layers, ends=(-1, 1))


def test_entropy_ignores_scale_shift_and_order():
    layers = [tokens(2, 9, 64), 2 * tokens(2, 9, 64).flip(0)]
    before = activation_entropy(layers)
    moved = [4 * x[..., torch.randperm(64)] - 7 for x in layers]
    assert torch.allclose(activation_entropy(moved), before, atol=0.02)


def test_entropy_is_within_its_bounds():
    assert activation_entropy([torch.ones(2, 9, 8)]).tolist() == [0]
    # eight channels can't take more than eight bins
    assert activation_entropy([torch.arange(8.0).view(1, 1, 8)]).item() == (
        pytest.approx(3)
    )
    with pytest.raises(ValueError, match='bins must be above 0, got 0'):
        activation_entropy([tokens(2, 9, 8)], bins=0)


def test_layers_may_differ_in_width_and_tokens():
    layers = [tokens(2, 16, 8), tokens(2, 4, 32)]
    assert activation_entropy(layers).shape == (2,)
    assert activation_magnitude(layers).shape == (2,)


def test_magnitude_by_hand():
    layers = [torch.tensor([[[1.0, -3.0]]]), torch.zeros(1, 1, 2)]
    assert activation_magnitude(layers).tolist() == [2, 0]


@pytest.mark.parametrize(
    ('values', 'turn'),
    [
        ([3, 2, 1, 2, 3], 2),  # V
        ([5, 4, 3, 2, 1, 3], 4),  # late
        ([4, 1, 1, 1, 4], 1),  # a flat bottom turns at its first layer
        ([3, 2, 1.1, 1.2, 1, 2, 3], 4),  # with a little noise
        ([1, 2, 3, 4, 5], None),  # monotone
        ([5, 4, 3, 2, 1], None),
        ([2, 2, 2, 2, 2], None),  # flat
        ([0, 0, 0, 0, 0], None),
        ([3, 1, 3, 1, 3], None),  # W
        ([1, 3, 1, 3, 1], None),  # M
        ([1, 2, 3, 2, 1], None),  # an arch
        ([10, 5, 1, 1.5, 2], None),  # its second arm is a ninth of the first
        ([1.02, 1.01, 1, 1.01, 1.02], None),  # 2 % deep
        ([3, 2, 1, 3], None),  # four layers
        ([], None),
    ],
)
def test_turning_layer_of_shapes(values, turn):
    assert turning_layer(values) == turn
    assert turning_layer(values[::-1]) == (
        None if turn is None else _mirrored(values, turn)
    )


def _mirrored(values: list[float], turn: int) -> int:
    """The first least one, from the other end."""
    return len(values) - 1 - max(i for i, v in enumerate(values) if v == values[turn])


def test_an_arch_is_a_u_with_the_other_sign():
    arch = torch.tensor([1.0, 2, 3, 2, 1])
    assert turning_layer(arch) is None
    assert turning_layer(-arch) == 2


def test_turning_layer_ignores_the_scale():
    for scale in (1e-6, 1e6):
        assert turning_layer([scale * v for v in (3, 2, 1, 2, 3)]) == 2


@pytest.mark.parametrize(('layers', 'most'), [(6, 0.12), (12, 0.002), (24, 0.0)])
def test_noise_is_rarely_called_a_u(layers, most):
    """The shares that the docstring gives, of 5,000 draws."""
    noise = torch.rand(5000, layers, generator=torch.Generator().manual_seed(0))
    found = sum(turning_layer(row) is not None for row in noise)
    assert found / len(noise) <= most


@pytest.mark.parametrize('layers', [6, 12, 24])
def test_a_u_under_a_little_noise_is_found(layers):
    """A V of depth 1 under noise of standard deviation 0.01."""
    turn = layers // 3
    v = (torch.arange(layers) - turn).abs() / layers
    noise = torch.randn(200, layers, generator=torch.Generator().manual_seed(0))
    found = [turning_layer(row) for row in 1 + v + 0.01 * noise]
    assert found.count(turn) >= 190
