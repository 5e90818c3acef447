import subprocess
import sys

import pytest
import torch
from torch import nn

from mmvitkd.models import SimpleFPN
from tests.helpers import build


def test_strides_are_4_to_64():
    neck = build({'type': 'SimpleFPN', 'in_channels': 16, 'out_channels': 8})
    levels = neck((torch.randn(2, 16, 8, 12),))
    sizes = [tuple(level.shape) for level in levels]
    assert sizes == [
        (2, 8, 32, 48),
        (2, 8, 16, 24),
        (2, 8, 8, 12),
        (2, 8, 4, 6),
        (2, 8, 2, 3),
    ]
    # an RPN counts on these sizes, rounded up or down, of a map that 4 does not divide
    sizes = [level.shape[2:] for level in neck((torch.randn(1, 16, 7, 5),))]
    assert [tuple(s) for s in sizes] == [(28, 20), (14, 10), (7, 5), (3, 2), (2, 1)]


def test_levels_are_normalised_over_their_channels():
    neck = SimpleFPN(16, 8)
    for level in neck((torch.randn(2, 16, 8, 8),)):
        torch.testing.assert_close(
            level.mean(1), torch.zeros_like(level[:, 0]), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            level.var(1, correction=0), torch.ones_like(level[:, 0]), atol=1e-3, rtol=0
        )


def test_level_of_stride_16_by_hand():
    neck = SimpleFPN(16, 8)
    x = torch.randn(1, 16, 4, 4)
    conv1, _, conv2, _ = neck.levels[2]
    y = nn.functional.conv2d(x, conv1.weight)
    y = nn.functional.layer_norm(y.movedim(1, 3), (8,), eps=1e-6).movedim(3, 1)
    y = nn.functional.conv2d(y, conv2.weight, padding=1)
    y = nn.functional.layer_norm(y.movedim(1, 3), (8,), eps=1e-6).movedim(3, 1)
    torch.testing.assert_close(neck((x,))[2], y)


def test_the_coarsest_level_has_no_weights_and_all_others_learn():
    neck = SimpleFPN(16, 8)
    levels = neck((torch.randn(1, 16, 8, 8),))
    assert torch.equal(levels[4], levels[3][..., ::2, ::2])
    sum(level.pow(3).sum() for level in levels).backward()
    assert all(p.grad.abs().sum() > 0 for p in neck.parameters())


def test_widths_are_those_of_vitdet():
    """So that its weights fit: half of the width at stride 8, a quarter at 4."""
    neck = SimpleFPN(24)
    shapes = [
        [tuple(p.shape) for p in level.parameters() if p.ndim == 4]
        for level in neck.levels
    ]
    last = (256, 256, 3, 3)
    assert shapes == [
        [(24, 12, 2, 2), (12, 6, 2, 2), (256, 6, 1, 1), last],
        [(24, 12, 2, 2), (256, 12, 1, 1), last],
        [(256, 24, 1, 1), last],
        [(256, 24, 1, 1), last],
    ]


def test_another_norm():
    neck = SimpleFPN(16, 8, norm_cfg={'type': 'BN'})
    assert sum(isinstance(m, nn.BatchNorm2d) for m in neck.modules()) == 9


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match='multiple of 4, got 18'):
        SimpleFPN(18)
    maps = (torch.zeros(1, 16, 4, 4),) * 2
    with pytest.raises(ValueError, match='takes one map, got 2'):
        SimpleFPN(16)(maps)


def test_importing_the_package_needs_no_mmdet():
    """It is an optional extra."""
    script = (
        'import sys\n'
        "sys.modules['mmdet'] = None\n"  # importing it raises ImportError
        'from mmvitkd.models import SimpleFPN, ViTDet\n'
        'import mmvitkd.engine\n'
        "print('mmdet' in [n.split('.')[0] for n, m in sys.modules.items() if m])\n"
    )
    out = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=True
    )
    assert out.stdout.split()[-1] == 'False'
