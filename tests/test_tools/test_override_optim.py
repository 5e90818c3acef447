"""Which learning rate is in force after ``--resume``, and that the log says so."""

import pytest
import torch

from tests.test_tools.runs import assert_same, config, message, run, weights

SGD = {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9, 'weight_decay': 0.01}
WARM_UP = {'type': 'LinearLR', 'start_factor': 0.5, 'by_epoch': False, 'end': 6}
COSINE = {'type': 'CosineAnnealingLR', 'by_epoch': True, 'begin': 0, 'end': 4}
OLD = {
    'optim_wrapper.optimizer': SGD,
    'param_scheduler': [WARM_UP, COSINE],
    'train_cfg.max_epochs': 3,
}
NEW = {
    **OLD,
    'optim_wrapper.optimizer': {**SGD, 'lr': 0.02, 'momentum': 0.5},
    'param_scheduler': [WARM_UP, {**COSINE, 'eta_min': 0.001}],
}
PARAMWISE = {
    'norm_decay_mult': 0.0,
    'custom_keys': {'backbone.patch_embed': {'lr_mult': 0.5}},
}


@pytest.fixture(scope='module')
def begun(tmp_path_factory):
    """One epoch of a run of three, by the old settings."""
    folder = tmp_path_factory.mktemp('begun')
    cfg = config(folder, 'old', **OLD)
    options = ['--cfg-options', 'train_cfg.max_epochs=1']
    run('train', cfg, '--work-dir', folder / 'run', *options)
    return folder, folder / 'run' / 'epoch_1.pth'


def resume(begun, tmp_path, *args, **changes):
    """Resume into a folder of its own; return the runner."""
    cfg = config(begun[0], f'new-{tmp_path.name}', **changes)
    where = ['--work-dir', tmp_path, '--resume', begun[1]]
    return run('train', cfg, *where, *args)


def rates(runner):
    """Every learning rate that a run has logged."""
    return runner.message_hub.get_scalar('train/lr').data[0]


def settings(runner):
    """The parameters' settings, whatever their groups."""
    names = {id(p): name for name, p in runner.model.named_parameters()}
    return {
        names[id(p)]: {k: v for k, v in group.items() if k != 'params'}
        for group in runner.optim_wrapper.optimizer.param_groups
        for p in group['params']
    }


def test_without_it_the_log_says_what_is_not_used(begun, tmp_path, capsys):
    runner = resume(begun, tmp_path, **NEW)
    out = capsys.readouterr().out
    line = next(line for line in out.split('\n') if 'NOT used' in line)
    for told in (
        'optim_wrapper.optimizer.lr: 0.1 -> 0.02',
        'optim_wrapper.optimizer.momentum: 0.9 -> 0.5',
        'param_scheduler.1.eta_min: absent -> 0.001',
    ):
        assert told in line
    assert '--override-optim' in line
    assert 'lr: 0.1' not in out.replace(line, '')
    assert {g['initial_lr'] for g in runner.optim_wrapper.param_groups} == {0.1}


def test_schedule_that_does_not_follow_a_longer_training_is_told(
    begun, tmp_path, capsys
):
    changes = {**OLD, 'param_scheduler': [{'type': 'ExponentialLR', 'gamma': 0.5}]}
    cfg = config(begun[0], 'short', **changes)
    one = ['--cfg-options', 'train_cfg.max_epochs=1']
    run('train', cfg, '--work-dir', tmp_path, *one)
    run('train', cfg, '--work-dir', tmp_path, '--resume')
    out = capsys.readouterr().out
    assert 'NOT used' in out
    assert 'train_cfg.max_epochs in param_scheduler: 1 -> 3' in out


@pytest.mark.parametrize('paramwise', [None, PARAMWISE])
def test_with_it_the_run_goes_on_as_if_always_so(begun, tmp_path, capsys, paramwise):
    """Every rate and setting is that of a run by the new config, from its start."""
    changes = {**NEW, 'optim_wrapper.paramwise_cfg': paramwise}
    resumed = resume(begun, tmp_path / 'resumed', '--override-optim', **changes)
    assert 'NOT used' not in capsys.readouterr().out
    cfg = config(begun[0], 'always', **changes)
    always = run('train', cfg, '--work-dir', tmp_path / 'always')
    assert rates(always)[4:].tolist() == rates(resumed)[4:].tolist()
    assert len(set(rates(resumed)[4:])) > 2
    assert settings(resumed) == settings(always)


@pytest.mark.parametrize('paramwise', [None, PARAMWISE])
def test_momentum_is_kept(begun, tmp_path, paramwise):
    """Under a rate of zero a step changes nothing but the momentum, by its factor."""
    still = {
        **OLD,
        'optim_wrapper.optimizer': {**SGD, 'lr': 0.0, 'weight_decay': 0.0},
        'optim_wrapper.paramwise_cfg': paramwise,
        'optim_wrapper.clip_grad': {'max_norm': 1e-12},
        'train_cfg.max_epochs': 2,
    }
    runner = resume(begun, tmp_path, '--override-optim', **still)
    saved = weights(begun[1], 'optimizer')['state']
    names = [name for name, p in runner.model.named_parameters() if p.requires_grad]
    by_name = dict(runner.model.named_parameters())
    state = runner.optim_wrapper.optimizer.state
    moved = 0
    for number, name in enumerate(names):
        old = saved[number]['momentum_buffer']
        new = state[by_name[name]]['momentum_buffer']
        torch.testing.assert_close(new, old * 0.9**4, rtol=1e-4, atol=1e-8)
        moved += bool(old.any())
    assert moved > 40


def test_unchanged_groups_go_on_without_it(begun, tmp_path):
    changes = {**OLD, 'optim_wrapper.paramwise_cfg': PARAMWISE}
    cfg = config(begun[0], 'groups', **changes)
    always = run('train', cfg, '--work-dir', tmp_path / 'a')
    where = ['--work-dir', tmp_path / 'b', '--resume', tmp_path / 'a' / 'epoch_2.pth']
    for override in ([], ['--override-optim']):
        resumed = run('train', cfg, *where, *override)
        assert settings(resumed) == settings(always)
        assert rates(resumed).tolist() == rates(always).tolist()
        where[1:2] = [tmp_path / 'c']
    assert_same(*(weights(tmp_path / n / 'epoch_3.pth') for n in 'ac'))


def test_changed_groups_and_schedulers_need_it(begun, tmp_path):
    changes = {**OLD, 'optim_wrapper.paramwise_cfg': PARAMWISE}
    cfg = config(begun[0], 'grouped', **changes)
    where = ['--work-dir', tmp_path, '--resume', begun[1]]
    text = message('train', cfg, *where)
    assert 'in other groups, 3, than the checkpoint, 1, since paramwise_cfg' in text
    assert '--override-optim' in text
    cfg = config(begun[0], 'fewer', **{**OLD, 'param_scheduler': [COSINE]})
    text = message('train', cfg, *where)
    assert "['CosineAnnealingLR'], does not fit the checkpoint's, which has 2" in text
    other = {**OLD, 'param_scheduler': [WARM_UP, {'type': 'ExponentialLR', 'gamma': 1}]}
    text = message('train', config(begun[0], 'kind', **other), *where)
    assert "does not fit the checkpoint's" in text


def test_what_it_can_not_do_is_refused_in_words(begun, tmp_path):
    where = ['--work-dir', tmp_path, '--resume', begun[1], '--override-optim']
    plateau = {'type': 'ReduceOnPlateauLR', 'monitor': 'accuracy/top1'}
    cfg = config(begun[0], 'plateau', **{**OLD, 'param_scheduler': [plateau]})
    assert 'depends on what every validation' in message('train', cfg, *where)
    cfg = config(begun[0], 'adam', **{**OLD, 'optim_wrapper.optimizer.type': 'Adam'})
    assert "Adam can't go on with" in message('train', cfg, *where)
    cfg = config(begun[0], 'old', **OLD)
    text = message('train', cfg, '--work-dir', tmp_path, '--override-optim')
    assert text == 'error: --override-optim belongs to --resume'
    sharded = {**OLD, 'strategy.type': 'mmvitkd.FSDPStrategy'}
    cfg = config(begun[0], 'sharded', **sharded, runner_type='FlexibleRunner')
    assert 'FSDP and DeepSpeed keep' in message('train', cfg, *where)


def test_flexible_runner(begun, tmp_path):
    changes = {'strategy.type': 'SingleDeviceStrategy', 'runner_type': 'FlexibleRunner'}
    changes = {**NEW, **changes, 'optim_wrapper.paramwise_cfg': PARAMWISE}
    one = ['--cfg-options', 'train_cfg.max_epochs=1']
    cfg = config(
        begun[0], 'flexible', **{**changes, 'optim_wrapper.paramwise_cfg': None}
    )
    run('train', cfg, '--work-dir', tmp_path / 'a', *one)
    file = tmp_path / 'a' / 'epoch_1.pth'
    changes |= {**NEW, 'optim_wrapper.paramwise_cfg': PARAMWISE}
    cfg = config(begun[0], 'flexible-new', **changes)
    where = ['--work-dir', tmp_path / 'b', '--resume', file]
    resumed = run('train', cfg, *where, '--override-optim')
    always = run('train', cfg, '--work-dir', tmp_path / 'always')
    assert rates(always)[4:].tolist() == rates(resumed)[4:].tolist()
    assert settings(resumed) == settings(always)
