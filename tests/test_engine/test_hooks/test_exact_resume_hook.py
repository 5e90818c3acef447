"""What can't be resumed exactly; what can is tried in tests/test_tools."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import IterableDataset, RandomSampler

from mmvitkd.registry import DATASETS, TRANSFORMS
from mmvitkd.utils.seeds import Stream, derive_seed
from tests.test_tools.runs import config, message, run


@DATASETS.register_module()
class Endless(IterableDataset):
    """Images that nobody can count."""

    def __init__(self, dataset):
        self.dataset = DATASETS.build(dataset)

    def __iter__(self):
        return (self.dataset[i] for i in range(len(self.dataset)))

    def __len__(self):
        return len(self.dataset)


@DATA_SAMPLERS.register_module()
class OwnGenerator(RandomSampler):
    """Goes on with its generator where the last epoch ended."""

    def __init__(self, dataset, seed):
        super().__init__(dataset, generator=torch.Generator().manual_seed(seed))


@TRANSFORMS.register_module()
class Remembering:
    """Keeps images, as MMDetection's CachedMosaic does."""

    def __init__(self):
        self.results_cache = []

    def __call__(self, results):
        return results


def remembering(folder):
    cfg = config(folder)
    pipeline = Config.fromfile(cfg).train_dataloader.dataset.pipeline
    return {'train_dataloader.dataset.pipeline': [{'type': 'Remembering'}, *pipeline]}


def iterable(folder):
    inner = Config.fromfile(config(folder)).train_dataloader.dataset
    dataset = {'_delete_': True, 'type': 'Endless', 'dataset': inner}
    return {'train_dataloader.dataset': dataset, 'train_dataloader.sampler': None}


CASES = {
    'OwnGenerator has a generator of its own': lambda _: {
        'train_dataloader.sampler': {'_delete_': True, 'type': 'OwnGenerator'}
    },
    'Remembering mixes in images of earlier batches': remembering,
    'Endless is iterated': iterable,
}


@pytest.mark.parametrize('told', CASES)
def test_what_is_not_exact_is_told_at_once_and_refused_later(told, tmp_path, capfd):
    changes = CASES[told](tmp_path)
    cfg = config(tmp_path, **changes, **{'train_cfg.max_epochs': 1})
    run('train', cfg, '--work-dir', tmp_path / 'run')
    assert f"This run can't be resumed exactly: {told}" in capfd.readouterr().out
    more = ['--work-dir', tmp_path / 'run', '--resume', '--cfg-options']
    more += ['train_cfg.max_epochs=2']
    text = message('train', cfg, *more)
    assert told in text
    assert 'default_hooks.resume.exact=False' in text
    assert run('train', cfg, *more, 'default_hooks.resume.exact=False').epoch == 2


def test_a_place_that_is_no_longer_there_is_refused(tmp_path):
    """Inside an epoch, whose batches are others now."""
    often = {'default_hooks.checkpoint': {'by_epoch': False, 'interval': 3}}
    cfg = config(tmp_path, **often)
    run('train', cfg, '--work-dir', tmp_path / 'run')
    file = tmp_path / 'run' / 'iter_6.pth'
    more = ['--work-dir', tmp_path / 'new', '--resume', file, '--cfg-options']
    more += ['train_dataloader.batch_size=8']
    text = message('train', cfg, *more)
    assert 'inside epoch 2, 2 batches after its begin, and an epoch now has 8' in text
    run('train', cfg, *more, 'default_hooks.resume.exact=False')


def test_gradients_that_are_missing_are_refused(tmp_path):
    """As in a checkpoint of another's hook."""
    plain = {'type': 'AnothersCheckpointHook', 'interval': 1}
    cfg = config(
        tmp_path,
        **{
            'default_hooks.checkpoint': plain,
            'optim_wrapper.accumulative_counts': 3,
        },
    )
    run('train', cfg, '--work-dir', tmp_path / 'run')
    file = tmp_path / 'run' / 'epoch_1.pth'
    text = message('train', cfg, '--work-dir', tmp_path / 'new', '--resume', file)
    assert 'at iteration 4, between two updates of accumulated gradients' in text


def test_a_best_file_is_refused(tmp_path):
    """It holds weights, and nothing of the optimizer."""
    best = {'type': 'CheckpointHook', 'interval': 1, 'save_best': 'auto'}
    cfg = config(tmp_path, **{'default_hooks.checkpoint': best})
    run('train', cfg, '--work-dir', tmp_path / 'run')
    (file,) = (tmp_path / 'run').glob('best_*')
    text = message('train', cfg, '--work-dir', tmp_path / 'new', '--resume', file)
    assert 'the checkpoint has no optimizer and no param_schedulers' in text


def test_early_stopping_remembers_what_it_saw(tmp_path):
    stopping = {'type': 'EarlyStoppingHook', 'monitor': 'accuracy/top1', 'patience': 2}
    stopping['min_delta'] = 100.0  # nothing ever improves enough
    changes = {'custom_hooks': [stopping], 'train_cfg.max_epochs': 6}
    cfg = config(tmp_path, **changes)
    alone = run('train', cfg, '--work-dir', tmp_path / 'alone')
    file = tmp_path / 'alone' / 'epoch_2.pth'
    resumed = run('train', cfg, '--work-dir', tmp_path / 'new', '--resume', file)
    assert resumed.epoch == alone.epoch == 3


def test_seeds_differ_by_run_stream_iteration_and_process():
    some = range(3)
    seeds = {
        derive_seed(s, stream, i, r)
        for s in some for stream in Stream for i in some for r in some
    }  # fmt: skip
    assert len(seeds) == 81
    assert all(0 <= seed < 2**31 for seed in seeds)
