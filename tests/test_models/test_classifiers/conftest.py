import pytest
import torch


@pytest.fixture
def images():
    torch.manual_seed(3)
    return torch.randn(4, 3, 32, 32)
