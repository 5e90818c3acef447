"""The best checkpoint is that of a run left alone, wherever a run was killed."""

import os
import shutil
import signal
from pathlib import Path
from unittest import mock

import pytest

from mmvitkd.engine.hooks import safe_checkpoint_hook
from tests.test_tools.runs import (
    assert_same,
    config,
    in_processes,
    kill,
    run,
    weights,
)

pytestmark = pytest.mark.slow

BY_ITERATION = {
    'train_cfg': {
        '_delete_': True,
        'by_epoch': False,
        'max_iters': 12,
        'val_interval': 4,
    },
    'param_scheduler': None,
    'default_hooks.checkpoint': {
        'type': 'CheckpointHook',
        'by_epoch': False,
        'interval': 4,
        'save_best': 'accuracy/top1',
        'max_keep_ckpts': 1,
    },
}
BY_EPOCH = {
    'train_cfg.max_epochs': 3,
    'default_hooks.checkpoint': {
        'type': 'CheckpointHook',
        'interval': 1,
        'save_best': 'auto',
        'max_keep_ckpts': 1,
    },
}
LOOPS = {'by epoch': BY_EPOCH, 'by iteration': BY_ITERATION}


def best(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob('best_*'))


def assert_best_like_alone(folder: Path) -> None:
    assert best(folder / 'killed') == best(folder / 'alone')
    (name,) = best(folder / 'alone')
    assert_same(*(weights(folder / run / name) for run in ('killed', 'alone')))


@pytest.mark.parametrize('changes', LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize('end', [4, 8, 12])
def test_killed_in_a_validation(changes, end, tmp_path):
    """That of the best step among them, and the last one, which alone is left."""
    cfg = config(tmp_path, **changes)
    alone = run('train', cfg, '--work-dir', tmp_path / 'alone')
    kill(end, cfg, '--work-dir', tmp_path / 'killed', at='KILL_IN_VALIDATION')
    resumed = run('train', cfg, '--work-dir', tmp_path / 'killed', '--resume')
    assert_best_like_alone(tmp_path)
    for what in ('best_score', 'validated_iter'):
        assert resumed.message_hub.get_info(what) == alone.message_hub.get_info(what)
    last = (tmp_path / 'alone' / 'last_checkpoint').read_text()
    name = Path(last).name
    assert_same(*(weights(tmp_path / run / name) for run in ('killed', 'alone')))


def killed_while(what: str, cfg: Path, folder: Path) -> None:
    """Train; end in the middle of replacing a best file by a better one."""

    def end_it(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    if what == 'removing':
        hook = safe_checkpoint_hook.SafeCheckpointHook
        keep = hook._remove

        def remove(self, name):
            end_it() if name.startswith('best_') else keep(self, name)

        patch = mock.patch.object(hook, '_remove', remove)
    else:
        backend = safe_checkpoint_hook.AtomicLocalBackend
        put = backend.put
        written = []

        def write(self, obj, filepath):
            if Path(filepath).name.startswith('best_'):
                written.append(filepath)
            end_it() if len(written) == 2 else put(self, obj, filepath)

        patch = mock.patch.object(backend, 'put', write)
    with patch:
        in_processes(1, run, 'train', cfg, '--work-dir', folder, code=-signal.SIGKILL)


@pytest.mark.parametrize('what', ['removing', 'writing'])
def test_killed_while_the_best_is_replaced(what, tmp_path):
    better = {'optim_wrapper.optimizer.lr': 0.02, 'train_cfg.max_epochs': 6}
    cfg = config(tmp_path, **{**BY_EPOCH, **better})
    killed_while(what, cfg, tmp_path / 'killed')
    assert len(best(tmp_path / 'killed')) == (2 if what == 'removing' else 1)
    run('train', cfg, '--work-dir', tmp_path / 'killed', '--resume')
    run('train', cfg, '--work-dir', tmp_path / 'alone')
    assert_best_like_alone(tmp_path)


def test_a_copy_leaves_the_files_of_the_original_alone(tmp_path):
    better = {'optim_wrapper.optimizer.lr': 0.02, 'train_cfg.max_epochs': 6}
    cfg = config(tmp_path, **{**BY_EPOCH, **better})
    kill(7, cfg, '--work-dir', tmp_path / 'first')
    shutil.copytree(tmp_path / 'first', tmp_path / 'killed')
    before = best(tmp_path / 'first')
    run('train', cfg, '--work-dir', tmp_path / 'killed', '--resume')
    assert best(tmp_path / 'killed') != before == best(tmp_path / 'first')
