import pytest
import torch

from mmvitkd.models import RedNet
from mmvitkd.models.backbones.involution import Involution


@pytest.mark.parametrize(
    ('depth', 'millions'), [(26, 9.23), (38, 12.39), (50, 15.54), (101, 25.65)]
)
def test_as_many_parameters_as_published(depth, millions):
    """With its classifier, as the paper's table counts."""
    count = sum(p.numel() for p in RedNet(depth).parameters()) + 2049 * 1000
    assert round(count / 1e6, 2) == millions


def test_maps_are_a_resnets():
    model = RedNet(26, stem_channels=32, base_channels=16, out_indices=(0, 1, 2, 3))
    maps = model(torch.randn(2, 3, 70, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 18, 16),
        (128, 9, 8),
        (256, 5, 4),
        (512, 3, 2),
    ]


def test_modules_have_the_released_codes_names():
    names = set(RedNet(26).state_dict())
    assert {
        'stem.0.conv.weight',
        'stem.1.conv1.conv.weight',
        'stem.1.conv1.bn.running_var',
        'stem.1.conv2.conv.bias',
        'stem.2.weight',
        'stem.4.bn.bias',
        'layer1.0.conv1.weight',
        'layer1.0.bn1.weight',
        'layer1.0.conv2.conv1.conv.weight',
        'layer1.0.conv2.conv2.conv.weight',
        'layer1.0.downsample.0.weight',
        'layer4.0.bn3.weight',
    } <= names


def test_a_stride_takes_means_for_kernels_and_every_other_place():
    torch.manual_seed(0)
    layer = Involution(16, kernel_size=1, stride=2).eval()
    x = torch.randn(2, 16, 6, 8)
    means = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))
    kernels = layer.conv2(layer.conv1(means))  # one number for each place
    torch.testing.assert_close(layer(x), kernels * x[:, :, ::2, ::2])
