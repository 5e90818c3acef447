"""Trainings on streams: two processes, and killed ones that end as if left alone."""

import pytest

from mmvitkd.datasets.digits import load_scans
from tests.test_datasets.test_readers import png
from tests.test_tools.runs import (
    PIPELINE,
    assert_same,
    config,
    kill,
    message,
    run,
    run_together,
    weights,
)

wds = pytest.importorskip('webdataset')

CROP = {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4}
BY_ITERATION = {
    'train_cfg': {'_delete_': True, 'by_epoch': False, 'max_iters': 8},
    'param_scheduler': [{'type': 'CosineAnnealingLR', 'by_epoch': False}],
}
OFTEN = {'default_hooks.checkpoint': {'by_epoch': False, 'interval': 1}}


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    """Four shards of 16 digits."""
    folder = tmp_path_factory.mktemp('shards')
    pixels, labels = load_scans()
    for number in range(4):
        with wds.TarWriter(str(folder / f'{number}.tar')) as file:
            for i in range(number, 64, 4):
                sample = {'__key__': f'{i}', 'png': png(pixels[i])}
                file.write({**sample, 'cls': int(labels[i])})
    return str(folder / '{0..3}.tar')


def stream(folder, shards, **changes):
    """Config of 2 epochs of 4 steps on the shards."""
    data = {'type': 'WebDatasetImages', 'shards': shards, 'label': 'cls'}
    data |= {
        'num_samples': 64,
        'shuffle': 6,
        'pipeline': [PIPELINE[0], CROP, PIPELINE[1]],
    }
    changes = {
        'train_dataloader.dataset': {'_delete_': True, **data},
        'train_dataloader.sampler': None,
        **OFTEN,
        **changes,
    }
    return config(folder, 'stream', **changes)


@pytest.mark.slow
@pytest.mark.parametrize('loop', [{}, BY_ITERATION], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('workers', [0, 2])
def test_a_killed_run_ends_as_one_left_alone(tmp_path, shards, workers, loop):
    """In the second epoch; the loop by iterations has the same batches."""
    changes = {'train_dataloader.num_workers': workers, **loop}
    file = stream(tmp_path, shards, **changes)
    run('train', file, '--work-dir', tmp_path / 'alone')
    log = next((tmp_path / 'alone').rglob('*.log')).read_text()
    assert "can't be resumed exactly" not in log
    kill(7, file, '--work-dir', tmp_path / 'killed')
    assert not (tmp_path / 'killed' / 'iter_8.pth').exists()
    run('train', file, '--work-dir', tmp_path / 'killed', '--resume')
    assert_same(*(weights(tmp_path / n / 'iter_8.pth') for n in ('killed', 'alone')))


@pytest.mark.slow
def test_two_processes_have_shards_of_their_own(tmp_path, shards):
    """Killed, too; and refused with other workers than before."""
    changes = {'train_dataloader.batch_size': 8}
    file = stream(tmp_path, shards, **changes)
    run_together(2, 'train', file, '--work-dir', tmp_path / 'alone')
    kill(6, file, '--work-dir', tmp_path / 'killed', processes=2)
    run_together(2, 'train', file, '--work-dir', tmp_path / 'killed', '--resume')
    assert_same(*(weights(tmp_path / n / 'iter_8.pth') for n in ('killed', 'alone')))


def test_other_workers_are_refused(tmp_path, shards):
    file = stream(tmp_path, shards, **{'train_cfg.max_epochs': 1})
    run('train', file, '--work-dir', tmp_path / 'run')
    more = ['--work-dir', tmp_path / 'run', '--resume', '--cfg-options']
    more += ['train_cfg.max_epochs=2']
    text = message('train', file, *more, 'train_dataloader.num_workers=2')
    assert 'WebDatasetImages was read with 1 workers, now 2' in text
    text = message('train', file, *more, 'train_dataloader.num_workers=5')
    assert '4 shards for 1 processes with 5 workers each' in text
