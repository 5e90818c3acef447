import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from mmvitkd.datasets import SeededBatches


class Draws(Dataset):
    """What the augmentations of a sample would draw."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return [index, random.random(), np.random.rand(), torch.rand(()).item()]


def batches(skip=0, endless=False, workers=0, rank=0):
    """Eight samples in batches of two, in an order that is drawn at random."""
    inner = BatchSampler(RandomSampler(range(8)), 2, drop_last=False)
    seeded = SeededBatches(inner, seed=0, rank=rank, endless=endless)
    seeded.begin(0, skip)
    loader = DataLoader(
        Draws(),
        batch_sampler=seeded,
        num_workers=workers,
        multiprocessing_context='fork' if workers else None,
    )
    return (torch.stack(batch).T for batch in loader)


def take(stream, count):
    return torch.stack([next(stream) for _ in range(count)])


@pytest.mark.parametrize('endless', [False, True])
@pytest.mark.parametrize('workers', [0, 2])
def test_beginning_later_goes_on_as_from_the_beginning(endless, workers):
    count = 11 if endless else 4
    whole = take(batches(endless=endless), count)
    torch.manual_seed(5)  # another process's
    for skip in range(count):
        rest = batches(skip, endless, workers)
        assert torch.equal(take(rest, count - skip), whole[skip:])
    drawn = whole[..., 1:]
    assert len(drawn.unique()) == drawn.numel()  # none draws what another did


def test_processes_draw_other_numbers():
    one, other = (take(batches(rank=rank), 4) for rank in (0, 1))
    assert not (one[..., 1:] == other[..., 1:]).any()


def test_drawing_indices_leaves_this_process_streams_alone():
    source = iter(SeededBatches([[0, 1]] * 3, seed=0, rank=0))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    found = []
    for _ in range(3):
        pickle.dumps(next(source))  # as a worker's queue does
        found.append(torch.rand(()))
    assert torch.equal(torch.stack(found), expected)


def test_no_batches_are_no_endless_loop():
    assert list(SeededBatches([], seed=0, rank=0, endless=True)) == []
