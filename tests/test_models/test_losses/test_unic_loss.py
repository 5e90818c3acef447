import math
from pathlib import Path

import pytest
import torch

from mmvitkd.models import UNICLoss
from tests.test_tools.runs import in_processes


def test_by_hand():
    """Two channels: at right angles, and off by half and by three."""
    loss = UNICLoss(momentum=0.0)
    student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    # (1 - 0) / 2 + ((1 - 0.5) + (3 - 0.5)) / (2 * 2)
    assert loss(student, teacher).item() == pytest.approx(1.25, abs=1e-5)
    # of tokens the mean, of each image one number
    tokens = torch.stack([student, teacher], 1)
    each = UNICLoss(momentum=0.0, reduction='none', loss_weight=2.0)
    assert each(tokens, teacher.expand(2, 1, 2).transpose(0, 1)).tolist() == [
        pytest.approx(1.25, abs=1e-5)
    ]


def test_a_batch_is_compared_before_it_moves_the_statistics():
    loss = UNICLoss(momentum=1.0)
    teacher = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    loss(teacher, teacher)
    assert loss.center.tolist() == [2, 20]
    deviations = [math.sqrt(2), 10 * math.sqrt(2)]  # of n - 1
    assert loss.scale.tolist() == pytest.approx(deviations)
    standardised = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
    assert loss(standardised, teacher) == pytest.approx(0, abs=1e-5)
    loss.momentum = 0.5
    loss(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2))
    assert loss.center.tolist() == [1, 10]
    assert loss.scale.tolist() == pytest.approx([d / 2 for d in deviations])
    loss.eval()
    loss(teacher, 7 + teacher)
    assert loss.center.tolist() == [1, 10]
    loss.forget()
    assert (loss.center.tolist(), loss.scale.tolist()) == ([0, 0], [1, 1])


def statistics(images: slice = slice(None)) -> list[torch.Tensor]:
    """Mean and deviation after three batches, of some of their images."""
    draw = torch.Generator().manual_seed(0)
    loss = UNICLoss(momentum=0.5)
    for batch in torch.randn(3, 4, 6, 5, generator=draw) * 3 + 1:
        loss(batch[images], batch[images])
    return [loss.center, loss.scale]


def save_statistics(folder: Path) -> None:
    """In one of two processes, of its half of each batch."""
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    found = statistics(slice(2 * rank, 2 * rank + 2))
    torch.save(found, folder / f'{rank}.pth')
    torch.distributed.destroy_process_group()


def test_the_statistics_are_those_of_all_processes(tmp_path):
    in_processes(2, save_statistics, tmp_path)
    one, other = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    for a, b, joint in zip(one, other, statistics(), strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, joint)
    assert not torch.allclose(one[0], statistics(slice(2))[0], rtol=0.01)
