import torch
from mmengine.device import get_device
from torch import nn

from mmvitkd.engine import Bfloat16OptimWrapper


def test_forward_in_bfloat16_and_weights_in_float32():
    layer = nn.Linear(4, 2).to(get_device())
    before = layer.weight.detach().clone()
    wrapper = Bfloat16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=1.0))
    with wrapper.optim_context(layer):
        out = layer(torch.ones(3, 4, device=before.device))
        assert out.dtype == torch.bfloat16
        wrapper.update_params(out.float().sum())
    assert layer.weight.dtype == torch.float32
    torch.testing.assert_close(before - layer.weight, torch.full_like(before, 3.0))
