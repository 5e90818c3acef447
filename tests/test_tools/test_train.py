"""``tools/train.py``: its options, its errors, and that it writes over nothing."""

import re

import pytest
import torch
from mmengine.device import get_device
from mmengine.hooks import Hook

from mmvitkd.registry import HOOKS
from tests.helpers import distiller, save_weights, vit
from tests.test_tools.kill_hook import Interrupted
from tests.test_tools.runs import PLAIN, assert_same, config, message, run, weights

ONE_EPOCH = {'train_cfg.max_epochs': 1}


@HOOKS.register_module()
class Broken(Hook):
    """Has a bug that no config is to blame for."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        raise IndexError('of a step')


@HOOKS.register_module()
class WatchTeacher(Hook):
    """Note in which precision the teacher answers."""

    seen: list = []

    def before_train(self, runner):
        layer = runner.model.teachers['teacher'].model.backbone.layers[0].attn.qkv
        layer.register_forward_hook(lambda *args: self.seen.append(args[2].dtype))


def test_options_reach_the_run(tmp_path):
    cfg = config(tmp_path, **ONE_EPOCH)
    runner = run(
        'train', cfg, '--work-dir', tmp_path / 'run', '--auto-scale-lr',
        '--no-validate', '--cfg-options', 'model.terms.gen.neck.mask_ratio=0.25',
        'default_hooks.checkpoint.max_keep_ckpts=2', 'randomness.seed=7',
    )  # fmt: skip
    assert runner.model.terms.gen.neck.mask_ratio == 0.25
    # 16 images a step of the 64 that the rate belongs to
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == 1e-3 * 16 / 64
    assert runner.val_loop is None
    assert runner.seed == 7
    names = {hook.__class__.__name__ for hook in runner.hooks}
    assert {'ExactResumeHook', 'SafeCheckpointHook', 'KillHook'} <= names


def test_work_dir_is_named_after_the_config(tmp_path, monkeypatch):
    """In MMPretrain's scope, as the configs that inherit its own."""
    scoped = {
        'default_scope': 'mmpretrain',
        'model.type': 'mmvitkd.ViTKDDistiller',
        'custom_hooks': None,
    }
    for split in ('train', 'val', 'test'):
        scoped[f'{split}_dataloader.dataset.type'] = 'mmvitkd.Digits'
    cfg = config(tmp_path, 'some_name', **ONE_EPOCH, **scoped)
    monkeypatch.chdir(tmp_path)
    run('train', cfg)
    assert (tmp_path / 'work_dirs' / 'some_name' / 'epoch_1.pth').exists()


def test_amp_reaches_the_teacher(tmp_path):
    """float16 on a GPU, bfloat16 on a CPU, whichever this machine has."""
    hooks = [{'type': 'WatchTeacher'}]
    cfg = config(tmp_path, **ONE_EPOCH, custom_hooks=hooks)
    runner = run('train', cfg, '--work-dir', tmp_path / 'run', '--amp')
    half = torch.bfloat16 if get_device() == 'cpu' else torch.float16
    assert WatchTeacher.seen == [half] * 4
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}
    assert_same(weights(tmp_path / 'run' / 'epoch_1.pth'), runner.model.state_dict())


def test_accumulated_gradients_equal_the_whole_batch(tmp_path):
    init = {'load_from': str(tmp_path / 'init.pth')}
    whole = config(tmp_path, 'whole', **PLAIN, **init)
    halves = config(
        tmp_path, 'halves', **PLAIN, **init,
        **{'train_dataloader.batch_size': 8, 'optim_wrapper.accumulative_counts': 2},
    )  # fmt: skip
    start = weights(save_weights(distiller(tmp_path), tmp_path / 'init.pth'))
    for cfg in (whole, halves):
        run('train', cfg, '--work-dir', tmp_path / cfg.stem)
    one, two = (weights(tmp_path / n / 'epoch_1.pth') for n in ('whole', 'halves'))
    for key in start:
        torch.testing.assert_close(
            start[key] - two[key], start[key] - one[key], rtol=1e-4, atol=1e-6
        )
    assert sum(bool((start[k] != one[k]).any()) for k in start) > 40


def test_ema_copies_hold_no_teacher(tmp_path):
    hooks = [{'type': 'EMAHook', 'momentum': 0.1}]
    cfg = config(tmp_path, **ONE_EPOCH, custom_hooks=hooks)
    runner = run('train', cfg, '--work-dir', tmp_path / 'run')
    copy = next(h for h in runner.hooks if hasattr(h, 'ema_model')).ema_model.module
    assert copy.teachers['teacher'] is runner.model.teachers['teacher']
    assert {n for n, _ in copy.named_parameters()} == {
        n for n, _ in runner.model.named_parameters()
    }
    checkpoint = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)
    for key in ('state_dict', 'ema_state_dict'):
        tops = {k.removeprefix('module.').split('.')[0] for k in checkpoint[key]}
        assert tops <= {'student', 'terms', 'steps'}


def test_the_student_alone_by_the_command_line(tmp_path):
    """As docs/own_data.md has it: the teacher is in the config, and not there."""
    cfg = config(tmp_path, **ONE_EPOCH)
    (tmp_path / 'teacher.pth').unlink()
    how = ('--work-dir', tmp_path / 'run', '--cfg-options')
    runner = run('train', cfg, *how, 'model.terms=None')
    assert {k.split('.')[0] for k in weights(tmp_path / 'run' / 'epoch_1.pth')} == {
        'student'
    }
    assert 'loss_nkd' not in runner.message_hub.log_scalars
    runner = run(
        'test', cfg, tmp_path / 'run' / 'epoch_1.pth', *how, 'model.terms=None'
    )
    assert runner.message_hub.get_scalar('test/accuracy/top1').current() >= 0
    elsewhere = ('--work-dir', tmp_path / 'other', '--cfg-options')
    text = message('train', cfg, *elsewhere, 'model.terms={}')
    assert re.match('error: (terms must be a dict|a distiller without)', text)


def test_second_run_into_a_full_folder_is_refused(tmp_path):
    cfg = config(tmp_path, **ONE_EPOCH)
    run('train', cfg, '--work-dir', tmp_path / 'run')
    before = (tmp_path / 'run' / 'epoch_1.pth').read_bytes()
    text = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert 'epoch_1.pth of this run. Continue it with --resume' in text
    other = config(tmp_path, 'other', **{'model.terms.nkd.loss.gamma': 1.0})
    text = message('train', other, '--work-dir', tmp_path / 'run', '--resume')
    assert 'holds another run' in text
    assert 'model.terms.nkd.loss.gamma: absent -> 1.0' in text
    assert (tmp_path / 'run' / 'epoch_1.pth').read_bytes() == before


def test_rerun_after_a_crash_before_the_first_checkpoint_just_works(tmp_path):
    cfg = config(tmp_path, **ONE_EPOCH)
    with pytest.raises(Interrupted):
        run('train', cfg, '--work-dir', tmp_path / 'run', RAISE_BEFORE_ITER='1')
    run('train', cfg, '--work-dir', tmp_path / 'run')
    assert (tmp_path / 'run' / 'epoch_1.pth').exists()


def test_mistakes_of_the_user_are_told_in_one_message(tmp_path):
    work_dir = ['--work-dir', tmp_path / 'run']
    assert message('train', 'none.py', *work_dir) == (
        "error: config 'none.py' does not exist"
    )
    cfg = config(tmp_path)
    text = message(
        'train', cfg, *work_dir, '--cfg-options', 'model.terms.gen.student=backbone.l1'
    )
    told = r"error: term 'gen', student: tap 'backbone\.l1': .* mean 'backbone\.ln1'"
    assert re.match(told, text)
    (tmp_path / 'teacher.pth').unlink()
    assert re.match(
        r"error: model\.teacher\.checkpoint: checkpoint '.*teacher.pth' does not exist",
        message('train', cfg, *work_dir),
    )


def test_loss_that_is_not_finite_ends_the_run_by_its_name(tmp_path):
    cfg = config(tmp_path, **{'model.terms.gen.loss.loss_weight': 1e39})
    text = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert text.startswith("error: not finite: {'loss_gen': inf}")


def test_weights_to_begin_with_that_are_none_of_the_models_are_refused(tmp_path):
    plain = str(save_weights(vit(16), tmp_path / 'plain.pth'))
    cfg = config(tmp_path, load_from=plain)
    text = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert "plain.pth' has none of the model's weights" in text


def test_scaling_without_a_base_and_amp_beside_another_wrapper_are_errors(tmp_path):
    cfg = config(tmp_path, auto_scale_lr={'_delete_': True})
    assert 'base_batch_size' in message('train', cfg, '--auto-scale-lr')
    cfg = config(tmp_path, **{'optim_wrapper.type': 'ApexOptimWrapper'})
    assert 'ApexOptimWrapper' in message('train', cfg, '--amp')


def test_errors_that_are_no_mistake_of_the_user_keep_their_traceback(tmp_path):
    cfg = config(tmp_path, custom_hooks=[{'type': 'Broken'}])
    with pytest.raises(IndexError, match='of a step'):
        run('train', cfg, '--work-dir', tmp_path / 'run')
