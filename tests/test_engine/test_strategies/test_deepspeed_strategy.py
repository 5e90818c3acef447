"""DeepSpeed on two processes: the training of one, by the user's commands."""

import shutil

import pytest

from mmvitkd.utils.checkpoint import load_checkpoint, weights_of
from tests.test_engine.test_strategies.sharded import (
    assert_trained_like_one_process,
    sharded,
    stacked,
)
from tests.test_tools.runs import assert_same, message, run, run_together, weights

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

ZERO = {
    'type': 'mmvitkd.DeepSpeedStrategy',
    'zero_optimization': {'stage': 1},
    'shard_teacher': True,
}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Folder of a run of three epochs, its config beside it."""
    folder = tmp_path_factory.mktemp('deepspeed')
    cfg = sharded(folder, 'two', ZERO)
    run_together(2, 'train', cfg, '--work-dir', folder / 'two')
    return folder


def test_two_processes_train_like_one(trained):
    """Decay, clipping and accumulation as the optimiser wrapper says them."""
    found = weights_of(load_checkpoint(trained / 'two' / 'epoch_3.pth'))
    assert_trained_like_one_process(trained, found)


def test_resumed_run_ends_in_the_same_weights(trained, tmp_path):
    shutil.copytree(trained / 'two' / 'epoch_1.pth', tmp_path / 'epoch_1.pth')
    run_together(2, 'train', trained / 'two.py', '--work-dir', tmp_path, '--resume')
    found, expected = (
        weights_of(load_checkpoint(folder / 'epoch_3.pth'))
        for folder in (tmp_path, trained / 'two')
    )
    assert_same(found, expected)


def test_its_checkpoint_is_exported_but_not_tested(trained, tmp_path):
    cfg, folder = trained / 'two.py', trained / 'two' / 'epoch_3.pth'
    assert 'tools/export_student.py' in message('test', cfg, folder)
    run('export_student', folder, tmp_path / 'student.pth', '--config', cfg)
    student = weights(tmp_path / 'student.pth')
    assert_same(student, weights_of(load_checkpoint(folder), 'student.'))
    plain = tmp_path / 'student.py', tmp_path / 'student.pth'
    run('test', *plain, '--work-dir', tmp_path)


@pytest.mark.parametrize(
    'fragment', ['deepspeed_zero1', 'deepspeed_zero1_sharded-teacher']
)
def test_fragment_fits_beside_a_config(fragment, tmp_path):
    cfg = stacked('digits/vitkd_digits.py', fragment, tmp_path)
    run_together(2, 'train', cfg)
    assert weights_of(load_checkpoint(tmp_path / 'work_dir' / 'epoch_1.pth'))


def test_shards_of_others_are_told(tmp_path):
    with pytest.raises(ValueError, match='zero_to_fp32'):
        load_checkpoint(tmp_path)
