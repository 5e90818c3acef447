"""Tracing without fixing the size of a batch, and what torch can't trace."""

from importlib import import_module

import pytest
import torch
from torch import nn

from mmvitkd.export.graph import symbolic_windows, trace
from tests.helpers import build
from tests.test_export.students import SWIN


class FirstMap(nn.Module):
    """A backbone of several maps, of which one is taken."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        return self.backbone(images)[0]


def randomise(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    module.eval()


def swin(package):
    if package == 'mmpretrain':
        return build(SWIN)
    kind = import_module(f'{package}.models.backbones.swin').SwinTransformer
    small = {'embed_dims': 8, 'depths': (2, 1), 'num_heads': (1, 2), 'strides': (2, 2)}
    where = {'pretrain_img_size': 32, 'patch_size': 2, 'out_indices': (1,)}
    return kind(window_size=4, **small, **where)


@pytest.mark.parametrize(
    'package',
    [
        'mmpretrain',
        pytest.param('mmdet', marks=pytest.mark.onedl_only),
        pytest.param('mmseg', marks=pytest.mark.onedl_only),
    ],
)
def test_swin_traced_at_two_images_is_right_for_others(package):
    """The size of the batch is computed by int() in all three, and would be fixed."""
    module = FirstMap(swin(package))
    randomise(module)
    images = torch.randn(5, 3, 32, 32)
    program = trace(module, images[:2]).module()
    with torch.no_grad():
        for count in (1, 5):
            wanted = module(images[:count])
            assert wanted.abs().max() > 1e-3
            torch.testing.assert_close(program(images[:count]), wanted)
        with pytest.raises(Exception, match='batch'):  # as torch has it without us
            free = ({0: torch.export.Dim('batch')},)
            torch.export.export(module, (images[:2],), dynamic_shapes=free)


def test_modules_are_as_they_were_afterwards():
    module = swin('mmpretrain')
    before = [
        m.window_reverse for m in module.modules() if hasattr(m, 'window_reverse')
    ]
    assert before
    with pytest.raises(RuntimeError), symbolic_windows(module):
        raise RuntimeError
    after = [m.window_reverse for m in module.modules() if hasattr(m, 'window_reverse')]
    assert after == before


class Counting(nn.Module):
    """What depends on the values of an image has no graph."""

    def forward(self, images):
        return images[:, : int(images.abs().max())]


class Pairing(nn.Module):
    """It takes two images alone."""

    def forward(self, images):
        return images + torch.zeros(2, 1, 1, 1)


def test_what_cannot_be_traced_is_told(capfd):
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"in 'return images\[.*test_graph.py, line"):
        trace(Counting(), images)
    with pytest.raises(ValueError, match='constant what shall be free, batch$'):
        trace(Pairing(), images)
    assert capfd.readouterr() == ('', '')
