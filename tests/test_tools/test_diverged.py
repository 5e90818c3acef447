"""Weights that became NaN are neither written, nor tested, exported or learnt from."""

import shutil

import pytest
import torch

from tests.helpers import save_weights, vit
from tests.test_tools.runs import config, message, run, weights

HOOKS = {'custom_hooks': [{'type': 'DivergeHook'}]}
KEEP_ONE = {
    'default_hooks.checkpoint': {
        'type': 'CheckpointHook', 'interval': 1, 'max_keep_ckpts': 1
    }
}  # fmt: skip


def diverge(iteration: int, monkeypatch: pytest.MonkeyPatch, *args: object) -> str:
    monkeypatch.setenv('DIVERGE_AT_ITER', str(iteration))
    text = message('train', *args)
    monkeypatch.delenv('DIVERGE_AT_ITER')
    return text


def test_the_last_good_checkpoint_stays(tmp_path, monkeypatch):
    """4 steps an epoch; the last of the second, with which the run ends."""
    cfg = config(tmp_path, **HOOKS, **KEEP_ONE)
    text = diverge(7, monkeypatch, cfg, '--work-dir', tmp_path / 'run')
    good = tmp_path / 'run' / 'epoch_1.pth'
    found = 'error: after iteration 8 weights are NaN or infinite, 1 of '
    assert text.startswith(found)
    assert 'student.backbone.ln1.weight' in text
    assert f"the last good one is '{good}'" in text
    assert list((tmp_path / 'run').glob('*.pth')) == [good]
    assert all(value.isfinite().all() for value in weights(good).values())
    run('train', cfg, '--work-dir', tmp_path / 'run', '--resume')


def test_the_end_is_looked_at_though_nothing_is_written(tmp_path, monkeypatch):
    never = {'default_hooks.checkpoint': {'type': 'CheckpointHook', 'save_last': False}}
    cfg = config(tmp_path, **HOOKS, **never)
    text = diverge(7, monkeypatch, cfg, '--work-dir', tmp_path / 'run')
    assert 'there is no earlier one' in text


def test_only_the_averaged_weights_are_bad(tmp_path, monkeypatch):
    ema = {'type': 'EMAHook', 'momentum': 0.1}
    cfg = config(
        tmp_path, custom_hooks=[{'type': 'DivergeHook', 'averaged': True}, ema]
    )
    text = diverge(7, monkeypatch, cfg, '--work-dir', tmp_path / 'run')
    assert 'averaged student.backbone.ln1.weight' in text


@pytest.fixture
def bad(tmp_path):
    """A config, and a checkpoint of it with a weight that is infinite."""
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 1})
    run('train', cfg, '--work-dir', tmp_path / 'run')
    file = tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(file, weights_only=False)
    checkpoint['state_dict']['student.head.layers.head.bias'][2] = float('inf')
    torch.save(checkpoint, file)
    return cfg, file


def test_neither_tested_nor_exported_nor_resumed(bad, tmp_path):
    cfg, file = bad
    ends = [
        message('test', cfg, file, '--work-dir', tmp_path / 'test'),
        message('export_student', file, tmp_path / 'out.pth'),
        message('train', cfg, '--work-dir', tmp_path / 'new', '--resume', file),
        message(
            'train', cfg, '--work-dir', tmp_path / 'new',
            '--cfg-options', f'load_from={file}',
        ),
    ]  # fmt: skip
    for text in ends:
        assert 'weights that are NaN or infinite' in text
        assert 'head.layers.head.bias' in text
    assert not (tmp_path / 'out.pth').exists()


def test_resuming_passes_over_it(bad, tmp_path, capsys):
    cfg, file = bad
    shutil.copy(file, file.with_name('epoch_2.pth'))
    run('train', config(tmp_path, 'good'), '--work-dir', tmp_path / 'good')
    shutil.copy(tmp_path / 'good' / 'epoch_1.pth', file)
    run('train', cfg, '--work-dir', file.parent, '--resume')
    out = capsys.readouterr().out
    assert "passed over: checkpoint '" in out
    assert f"resuming from '{file}'" in out


def test_a_teacher_is_refused(tmp_path):
    cfg = config(tmp_path)
    file = save_weights(vit(24), tmp_path / 'teacher.pth')
    checkpoint = torch.load(file)
    checkpoint['state_dict']['backbone.cls_token'][0, 0, 0] = float('nan')
    torch.save(checkpoint, file)
    text = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert f"teacher checkpoint '{file}'" in text
    assert '1 weights hold NaN or infinite numbers: ' in text
    assert 'backbone.cls_token' in text
    assert 'earning rate' not in text
