"""FSDP on two processes: the training of one, by the user's commands."""

import shutil

import pytest

from tests.test_engine.test_strategies.sharded import (
    assert_close,
    assert_trained_like_one_process,
    sharded,
    stacked,
)
from tests.test_tools.runs import (
    assert_same,
    message,
    run,
    run_together,
    weights,
)

pytestmark = pytest.mark.slow

FSDP = {'type': 'mmvitkd.FSDPStrategy'}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Folder of a run of three epochs, its config beside it."""
    folder = tmp_path_factory.mktemp('fsdp')
    cfg = sharded(folder, 'two', FSDP)
    run_together(2, 'train', cfg, '--work-dir', folder / 'two')
    return folder


def test_two_processes_train_like_one(trained):
    """Decay, names of parameters, clipping by the joint norm, averaged gradients."""
    found = weights(trained / 'two' / 'epoch_3.pth')
    assert_trained_like_one_process(trained, found)


def test_layers_that_share_their_weights_train_like_one_process(tmp_path):
    """The layer that has them is gathered for those that use them, too."""
    student = {
        'backbone.type': 'MiniDeiT',
        'backbone.share_num': 3,
        'backbone.identity_init': True,
        'neck': {'type': 'GlobalAveragePooling'},
        'head.type': 'LinearClsHead',
    }
    changes = {f'model.student.{key}': value for key, value in student.items()}
    cfg = sharded(tmp_path, 'two', FSDP, **changes)
    run_together(2, 'train', cfg, '--work-dir', tmp_path / 'two')
    found = weights(tmp_path / 'two' / 'epoch_3.pth')
    assert_trained_like_one_process(tmp_path, found, **changes)


def test_resumed_run_ends_in_the_same_weights(trained, tmp_path):
    shutil.copy(trained / 'two' / 'epoch_1.pth', tmp_path)
    cfg = trained / 'two.py'
    run_together(2, 'train', cfg, '--work-dir', tmp_path, '--resume')
    resumed = weights(tmp_path / 'epoch_3.pth')
    assert_same(resumed, weights(trained / 'two' / 'epoch_3.pth'))


def test_a_file_written_after_a_validation_says_its_own_epoch(tmp_path):
    """As the best one is, and the last one, which then knows it."""
    saving = {'type': 'CheckpointHook', 'interval': 1, 'save_best': 'auto'}
    cfg = sharded(tmp_path, 'one', FSDP, **{'default_hooks.checkpoint': saving})
    run_together(1, 'train', cfg, '--work-dir', tmp_path / 'run')
    files = sorted((tmp_path / 'run').glob('*.pth'))
    assert any(file.name.startswith('best_') for file in files)
    for file in files:
        meta = weights(file, 'meta')
        epoch = int(file.stem.rpartition('_')[2])
        assert (meta['epoch'], meta['iter'] % epoch) == (epoch, 0)


def test_accumulated_gradients_that_are_not_kept_are_told(tmp_path, trained):
    """Three batches an update, four an epoch: the third epoch's end is one's."""
    more = ['--cfg-options', 'optim_wrapper.accumulative_counts=3']
    more += ['train_dataloader.dataset.indices=64']
    args = [trained / 'two.py', '--work-dir', tmp_path / 'run', *more]
    run_together(2, 'train', *args)
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert "can't be resumed exactly: from every checkpoint" in log.read_text()


def test_one_process_goes_on_with_what_two_began(trained, tmp_path):
    shutil.copy(trained / 'two' / 'epoch_1.pth', tmp_path)
    again = ['--resume', '--cfg-options', 'train_dataloader.batch_size=16']
    run_together(1, 'train', trained / 'two.py', '--work-dir', tmp_path, *again)
    found = weights(tmp_path / 'epoch_3.pth')
    assert_close(found, weights(trained / 'two' / 'epoch_3.pth'))


def test_sharded_teacher_teaches_the_same(trained, tmp_path):
    cfg = sharded(tmp_path, 'two', {**FSDP, 'shard_teacher': True})
    run_together(2, 'train', cfg, '--work-dir', tmp_path / 'out')
    found = weights(tmp_path / 'out' / 'epoch_3.pth')
    assert_same(found, weights(trained / 'two' / 'epoch_3.pth'))


def test_its_checkpoint_is_tested_and_exported_like_any(trained, tmp_path):
    cfg, file = trained / 'two.py', trained / 'two' / 'epoch_3.pth'
    run('export_student', file, tmp_path / 'student.pth', '--config', cfg)
    scores = [
        run('test', *of, '--work-dir', tmp_path).message_hub.get_scalar(
            'test/accuracy/top1'
        )
        for of in ((cfg, file), (tmp_path / 'student.py', tmp_path / 'student.pth'))
    ]
    assert scores[0].current() == scores[1].current()


@pytest.mark.parametrize('fragment', ['fsdp', 'fsdp_sharded-teacher'])
def test_fragment_fits_beside_a_config(fragment, tmp_path):
    cfg = stacked('digits/vitkd_digits.py', fragment, tmp_path)
    run_together(2, 'train', cfg)
    found = weights(tmp_path / 'work_dir' / 'epoch_1.pth')
    assert 'student.backbone.ln1.weight' in found


def test_needs_a_launcher(tmp_path):
    said = message(
        'train', sharded(tmp_path, 'two', FSDP), '--work-dir', tmp_path / 'out'
    )
    assert 'FSDPStrategy needs processes' in said


def test_refuses_averaged_weights(tmp_path):
    changes = {'custom_hooks': [{'type': 'EMAHook'}]}
    cfg = sharded(tmp_path, 'two', FSDP, **changes)
    assert 'EMAHook' in message('train', cfg, '--work-dir', tmp_path / 'out')
