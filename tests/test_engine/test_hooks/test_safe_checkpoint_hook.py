from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner.checkpoint import save_checkpoint

from mmvitkd.engine import SafeCheckpointHook


class Killed(Exception):
    pass


@pytest.fixture
def run(tmp_path):
    """The part of a runner that saving a checkpoint needs."""

    def save(out_dir, filename, *args, backend_args=None, **kwargs):
        checkpoint = {'hub': hub.state_dict()}
        save_checkpoint(checkpoint, f'{out_dir}/{filename}', backend_args=backend_args)

    hub = MessageHub(tmp_path.name)
    return SimpleNamespace(
        work_dir=str(tmp_path),
        logger=MMLogger.get_current_instance(),
        message_hub=hub,
        save_checkpoint=save,
        epoch=0,
        iter=0,
        model=torch.nn.Linear(2, 1),
        hooks=[],
        optim_wrapper=None,
    )


def hook_of(run, **kwargs):
    hook = SafeCheckpointHook(interval=1, **kwargs)
    hook.before_train(run)
    return hook


def save(hook, run, *epochs):
    for epoch in epochs:
        run.epoch = epoch - 1
        hook._save_checkpoint(run)


def names(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def test_keeps_as_many_as_it_was_told(run, tmp_path):
    save(hook_of(run, max_keep_ckpts=2), run, 1, 2, 3, 3, 4)
    assert names(tmp_path) == ['epoch_3.pth', 'epoch_4.pth']
    kept = torch.load(tmp_path / 'epoch_4.pth', weights_only=False)['hub']
    assert kept['runtime_info']['keep_ckpt_ids'] == [3, 4]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_4.pth')


def test_keeps_all_by_default(run, tmp_path):
    save(hook_of(run), run, 1, 2, 3)
    assert names(tmp_path) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']


def test_killed_while_writing_leaves_one_to_resume(run, tmp_path, monkeypatch):
    """With ``max_keep_ckpts=1``, for a new file and for one written again."""
    hook = hook_of(run, max_keep_ckpts=1)
    save(hook, run, 1)

    def write_half(self, obj, filepath):
        with open(filepath, 'wb') as file:
            file.write(obj[: len(obj) // 2])
        raise Killed

    monkeypatch.setattr(LocalBackend, 'put', write_half)
    for epoch in (1, 2):
        with pytest.raises(Killed):
            save(hook, run, epoch)
        assert names(tmp_path) == ['epoch_1.pth']
        torch.load(tmp_path / 'epoch_1.pth', weights_only=False)


def test_a_storage_backend_of_the_users_stays(run):
    given = {'backend': 'local'}
    assert hook_of(run).backend_args == {'backend': 'mmvitkd.atomic'}
    assert hook_of(run, backend_args=given).backend_args == given
