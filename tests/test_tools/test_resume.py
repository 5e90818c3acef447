"""A run that was killed goes on as if nothing had been."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.test_tools.kill_hook import Interrupted
from tests.test_tools.runs import (
    assert_same,
    begin,
    config,
    end,
    message,
    run,
    weights,
)

EMA = {'type': 'EMAHook', 'momentum': 0.1}
# 4 steps an epoch: in the middle of the second
MID_EPOCH = '6'


def everything_random(folder: Path) -> Path:
    """Config with EMA, accumulation, and augmentations in two worker processes."""
    return config(
        folder,
        **{
            'custom_hooks': [EMA, {'type': 'KillHook'}],
            'train_dataloader.num_workers': 2,
            'optim_wrapper.accumulative_counts': 2,
        },
    )


@pytest.mark.slow
def test_killed_in_mid_epoch_and_resumed_ends_in_the_same_weights(tmp_path):
    """By SIGKILL, in processes of their own, by the user's commands."""
    cfg = everything_random(tmp_path)
    tool = ['python', 'tools/train.py', cfg, '--work-dir']
    left_alone = begin(*tool, tmp_path / 'left_alone')
    killed = begin(*tool, tmp_path / 'killed', KILL_BEFORE_ITER=MID_EPOCH)
    end(killed, code=-signal.SIGKILL)
    assert [p.name for p in (tmp_path / 'killed').glob('*.pth')] == ['epoch_1.pth']
    end(begin(*tool, tmp_path / 'killed', '--resume'))
    end(left_alone)
    for key in ('state_dict', 'ema_state_dict'):
        assert_same(
            weights(tmp_path / 'killed' / 'epoch_2.pth', key),
            weights(tmp_path / 'left_alone' / 'epoch_2.pth', key),
        )


@pytest.mark.parametrize('workers', [0, 2])
def test_interrupted_run_ends_in_the_same_weights(tmp_path, workers):
    cfg = config(tmp_path, **{'train_dataloader.num_workers': workers})
    with pytest.raises(Interrupted):
        run('train', cfg, '--work-dir', tmp_path / 'a', RAISE_BEFORE_ITER=MID_EPOCH)
    run('train', cfg, '--work-dir', tmp_path / 'a', '--resume')
    run('train', cfg, '--work-dir', tmp_path / 'b')
    first, last = (weights(tmp_path / 'b' / f'epoch_{i}.pth') for i in (1, 2))
    assert_same(weights(tmp_path / 'a' / 'epoch_1.pth'), first)
    assert_same(weights(tmp_path / 'a' / 'epoch_2.pth'), last)


def test_half_written_checkpoint_is_passed_over(tmp_path, capsys):
    cfg = config(tmp_path)
    work_dir = tmp_path / 'run'
    run('train', cfg, '--work-dir', work_dir)
    whole = weights(work_dir / 'epoch_2.pth')
    os.truncate(work_dir / 'epoch_2.pth', 5000)
    runner = run('train', cfg, '--work-dir', work_dir, '--resume')
    out = capsys.readouterr().out
    assert "epoch_2.pth' can't be read" in out
    assert f"resuming from '{work_dir / 'epoch_1.pth'}'" in out
    assert runner.epoch == 2
    assert_same(weights(work_dir / 'epoch_2.pth'), whole)


def test_resume_of_a_file_and_of_a_moved_folder(tmp_path):
    cfg = config(tmp_path)
    run('train', cfg, '--work-dir', tmp_path / 'a')
    (tmp_path / 'a' / 'epoch_2.pth').rename(tmp_path / 'whole.pth')
    shutil.copytree(tmp_path / 'a', tmp_path / 'moved')
    run('train', cfg, '--work-dir', tmp_path / 'moved', '--resume')
    file = tmp_path / 'a' / 'epoch_1.pth'
    run('train', cfg, '--work-dir', tmp_path / 'c', '--resume', file)
    for folder in ('moved', 'c'):
        assert_same(
            weights(tmp_path / folder / 'epoch_2.pth'), weights(tmp_path / 'whole.pth')
        )


def test_resume_with_nothing_there_begins_a_run(tmp_path, capsys):
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 1})
    runner = run('train', cfg, '--work-dir', tmp_path / 'run', '--resume')
    assert 'nothing to resume' in capsys.readouterr().out
    assert runner.epoch == 1


def test_resuming_weights_that_do_not_fit_is_an_error(tmp_path):
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 1})
    run('train', cfg, '--work-dir', tmp_path / 'a')
    file = tmp_path / 'a' / 'epoch_1.pth'
    other = config(tmp_path, 'other', **{'model.student.backbone.arch.num_layers': 4})
    text = message('train', other, '--work-dir', tmp_path / 'b', '--resume', file)
    assert 'student.backbone.layers.3.ln1.weight' in text
