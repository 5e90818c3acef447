import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader, Dataset

from mmvitkd.engine import EpochSeedHook
from mmvitkd.engine.hooks.epoch_seed_hook import derive_seed


class Draws(Dataset):
    """What the augmentations of a sample would draw."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return [random.random(), np.random.rand(), torch.rand(()).item()]


def runner(seed=0, iteration=0, workers=0):
    init = partial(worker_init_fn, num_workers=workers, rank=0, seed=seed)
    loader = DataLoader(
        Draws(),
        num_workers=workers,
        worker_init_fn=init,
        persistent_workers=workers > 0,
        multiprocessing_context='fork' if workers else None,
    )
    return SimpleNamespace(seed=seed, iter=iteration, train_dataloader=loader)


def epoch(run):
    EpochSeedHook().before_train_epoch(run)
    return torch.stack([torch.stack(batch).flatten() for batch in run.train_dataloader])


@pytest.mark.parametrize('workers', [0, 2])
def test_an_epoch_draws_the_same_in_a_new_process_and_in_a_long_one(workers):
    long = runner(workers=workers)
    first = epoch(long)
    long.iter = 4
    second = epoch(long)
    assert torch.equal(second, epoch(runner(iteration=4, workers=workers)))
    assert not (first == second).any()  # no epoch repeats another's augmentations


def test_workers_draw_different_numbers():
    draws = epoch(runner(workers=2))  # two batches of each worker
    assert len(draws.unique()) == draws.numel()


def test_seeds_differ_by_run_iteration_and_process():
    seeds = {derive_seed(s, i, r) for s in range(3) for i in range(3) for r in range(3)}
    assert len(seeds) == 27
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_worker_init_fn_of_the_users_stays():
    run = runner()
    run.train_dataloader.worker_init_fn = print
    EpochSeedHook().before_train_epoch(run)
    assert run.train_dataloader.worker_init_fn is print
