import random
from functools import partial

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvitkd.registry import HOOKS


def derive_seed(seed: int, iteration: int, rank: int) -> int:
    """Mix three numbers into one seed, below 2**31 for NumPy and the workers."""
    return int(
        np.random.SeedSequence((seed, iteration, rank)).generate_state(1)[0] >> 1
    )


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed every random generator anew at the beginning of an epoch.

    A checkpoint holds no state of them, so a resumed run would draw other masks,
    dropped paths, Mixup partners and augmentations than one that was left alone.
    Here they follow from the run's seed, the iteration that the epoch begins
    with, and the process's rank: a run resumed from an epoch's end ends in the
    same weights. The training loader's workers, whose generators live in other
    processes, are started anew for that, also with ``persistent_workers=True``.
    In a loop by iterations, whose only epoch is the run, it acts once.
    """

    priority = 'VERY_HIGH'  # before any other hook draws

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this process, and the workers that it is about to start."""
        seed = derive_seed(runner.seed, runner.iter, get_rank())
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)  # of every device
        loader = runner.train_dataloader
        init = loader.worker_init_fn
        if isinstance(init, partial) and 'seed' in init.keywords:
            # MMEngine's: every worker adds its own number to the seed
            loader.worker_init_fn = partial(init, seed=seed)
        loader._iterator = None  # ends persistent workers
