"""Every loop, sampler and wrapper: killed and resumed ends in the same weights."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from tests.test_tools.runs import (
    assert_same,
    config,
    kill,
    loader,
    run,
    run_together,
    weights,
)

pytestmark = pytest.mark.slow

EMA = {'type': 'EMAHook', 'momentum': 0.1}
KILL = {'type': 'KillHook'}
WORKERS = {'train_dataloader.num_workers': 2}
BY_ITERATION = {
    'train_cfg': {'_delete_': True, 'by_epoch': False, 'max_iters': 11},
    'param_scheduler': [{'type': 'CosineAnnealingLR', 'by_epoch': False}],
    'default_hooks': {'checkpoint': {'by_epoch': False, 'interval': 3}},
}
INSIDE_EPOCHS = {'default_hooks': {'checkpoint': {'by_epoch': False, 'interval': 3}}}
INFINITE = {'train_dataloader.sampler': {'type': 'InfiniteSampler'}}
ACCUMULATED = {'optim_wrapper.accumulative_counts': 3}
REPLAYED = {
    'train_dataloader.dataset': {
        '_delete_': True,
        'type': 'ReplayedDataset',
        'dataset': loader('train', [])['dataset'],
        'mixing': {'augments': {'type': 'Mixup', 'alpha': 0.8}},
    },
    'train_dataloader.sampler': {'type': 'ReplaySampler'},
    'model.student.train_cfg': None,
}


@pytest.fixture(autouse=True)
def end_workers() -> Iterator[None]:
    """End the workers that a loop by iterations leaves, in cycles of references.

    Python's collector closes their queues before torch writes into them that they may
    end, and torch then waits 5 s for each: in whatever test that happens to be.
    """
    yield
    for found in gc.get_objects():
        if isinstance(found, _MultiProcessingDataLoaderIter):
            found._shutdown_workers()


def replayed(folder: Path, **changes: object) -> Path:
    """Config whose images are augmented and mixed by the data set."""
    plain = config(folder, 'plain')
    pipeline = Config.fromfile(plain).train_dataloader.dataset.pipeline
    dataset = REPLAYED['train_dataloader.dataset']
    inner = {**dataset['dataset'], 'pipeline': pipeline}
    return config(
        folder,
        **{**REPLAYED, **changes},
        **{'train_dataloader.dataset.dataset': inner},
    )


RUNS = {
    'accumulation over epochs': {**ACCUMULATED, 'custom_hooks': [EMA, KILL]},
    'accumulation in bfloat16': {
        **ACCUMULATED,
        'optim_wrapper.type': 'Bfloat16OptimWrapper',
        'optim_wrapper.clip_grad': {'max_norm': 1.0},
    },
    'inside an epoch': INSIDE_EPOCHS,
    'inside an epoch, with workers': {**INSIDE_EPOCHS, **WORKERS, **ACCUMULATED},
    'by iteration': {**BY_ITERATION, 'custom_hooks': [EMA, KILL]},
    'by iteration, with workers': {**BY_ITERATION, **WORKERS, **ACCUMULATED},
    'by iteration, endless': {**BY_ITERATION, **INFINITE},
    'by iteration, endless, with workers': {**BY_ITERATION, **INFINITE, **WORKERS},
    'repeated augmentation': {
        'train_dataloader.sampler': {'type': 'RepeatAugSampler'},
        **INSIDE_EPOCHS,
    },
    'a seed that the run drew': {'randomness.seed': None},
}


@pytest.mark.parametrize('changes', RUNS.values(), ids=RUNS)
def test_killed_run_ends_in_the_weights_of_one_left_alone(changes, tmp_path):
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 3, **changes})
    kill(8, cfg, '--work-dir', tmp_path / 'killed')
    assert list((tmp_path / 'killed').glob('*.pth'))  # else it would begin anew
    left = {'randomness.seed': None}
    resumed = run('train', cfg, '--work-dir', tmp_path / 'killed', '--resume')
    again = []
    if left.items() <= changes.items():
        again = ['--cfg-options', f'randomness.seed={resumed.seed}']
    alone = run('train', cfg, '--work-dir', tmp_path / 'alone', *again)
    assert alone.iter == resumed.iter
    compare(tmp_path)


def compare(folder: Path) -> None:
    """The last checkpoints, averaged weights and raw ones."""
    last = Path((folder / 'alone' / 'last_checkpoint').read_text()).name
    for key in ('state_dict', 'ema_state_dict'):
        found = [
            torch.load(folder / name / last, weights_only=False).get(key, {})
            for name in ('killed', 'alone')
        ]
        assert_same(*found)


def test_replayed_images_are_resumed_by_iteration(tmp_path):
    cfg = replayed(tmp_path, **BY_ITERATION, **WORKERS)
    kill(8, cfg, '--work-dir', tmp_path / 'killed')
    run('train', cfg, '--work-dir', tmp_path / 'killed', '--resume')
    run('train', cfg, '--work-dir', tmp_path / 'alone')
    compare(tmp_path)


def test_two_processes_keep_gradients_of_their_own(tmp_path):
    cfg = config(tmp_path, **ACCUMULATED, **{'train_dataloader.batch_size': 8})
    kill(6, cfg, '--work-dir', tmp_path / 'killed', processes=2)
    file = tmp_path / 'killed' / 'epoch_1.pth'
    one, other = torch.load(file, weights_only=False)['accumulated']['gradients']
    assert any(not torch.equal(one[key], other[key]) for key in one)
    run_together(2, 'train', cfg, '--work-dir', tmp_path / 'killed', '--resume')
    run_together(2, 'train', cfg, '--work-dir', tmp_path / 'alone')
    compare(tmp_path)


def test_a_run_does_not_depend_on_its_workers(tmp_path):
    cfg = config(tmp_path)
    for count in (0, 3):
        more = ['--cfg-options', f'train_dataloader.num_workers={count}']
        run('train', cfg, '--work-dir', tmp_path / str(count), *more)
    assert_same(*(weights(tmp_path / n / 'epoch_2.pth') for n in ('0', '3')))
