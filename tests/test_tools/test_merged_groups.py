"""A run's parameters of the same settings are one group, and nothing else changes."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmvitkd.utils.optimizer import MERGED, merge_groups
from tests.test_tools.runs import assert_same, config, message, run, weights

PARAMWISE = {
    'norm_decay_mult': 0.0,
    'bias_decay_mult': 0.0,
    'custom_keys': {'backbone.patch_embed': {'lr_mult': 0.5}},
}
# a constructor that the config names stays: a group for every parameter
APART = {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'}
OPTIMIZERS = {
    'AdamW': {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.1},
    'fused': {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.1, 'fused': True},
    'SGD': {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9, 'weight_decay': 0.01},
}


def changes(name: str) -> dict:
    """Of the config of a run with parameter-wise settings."""
    return {
        'optim_wrapper': {'optimizer': OPTIMIZERS[name], 'paramwise_cfg': PARAMWISE},
        'param_scheduler': [
            {'type': 'LinearLR', 'start_factor': 0.5, 'by_epoch': False, 'end': 6},
            {'type': 'CosineAnnealingLR', 'by_epoch': True},
        ],
    }


def groups(runner):
    return runner.optim_wrapper.optimizer.param_groups


@pytest.mark.parametrize('name', [*OPTIMIZERS])
def test_every_parameter_is_trained_as_in_a_group_of_its_own(tmp_path, name):
    cfg = config(tmp_path, **changes(name))
    merged = run('train', cfg, '--work-dir', tmp_path / 'a')
    cfg = config(tmp_path, 'apart', **changes(name), **APART)
    apart = run('train', cfg, '--work-dir', tmp_path / 'b')
    assert len(groups(merged)) == 3
    assert len(groups(apart)) == sum(len(g['params']) for g in groups(merged)) > 40
    files = [tmp_path / folder / 'epoch_2.pth' for folder in 'ab']
    assert_same(*(weights(file) for file in files))
    names = [name for group in groups(merged) for name in group['param_names']]
    trained = [name for name, p in merged.model.named_parameters() if p.requires_grad]
    assert sorted(names) == sorted(trained)


@pytest.mark.parametrize('override', [[], ['--override-optim']])
def test_a_run_of_an_earlier_version_goes_on(tmp_path, capsys, override):
    """Its checkpoint has a group, and each schedule a value, for every parameter."""
    cfg = config(tmp_path, 'apart', **changes('fused'), **APART)
    run('train', cfg, '--work-dir', tmp_path / 'apart')
    cfg = config(tmp_path, **changes('fused'))
    where = ['--resume', tmp_path / 'apart' / 'epoch_1.pth']
    capsys.readouterr()
    resumed = run('train', cfg, '--work-dir', tmp_path / 'on', *where, *override)
    assert 'changed' not in capsys.readouterr().out
    assert len(groups(resumed)) == 3
    # one more for the settings of the optimiser itself
    assert all(len(s.base_values) == 4 for s in resumed.param_schedulers)
    files = [tmp_path / folder / 'epoch_2.pth' for folder in ('apart', 'on')]
    assert_same(*(weights(file) for file in files))


def test_state_follows_its_parameter_into_other_groups(tmp_path):
    """From merged groups to one for each."""
    cfg = config(tmp_path, **changes('AdamW'))
    run('train', cfg, '--work-dir', tmp_path / 'merged')
    where = ['--resume', tmp_path / 'merged' / 'epoch_1.pth']
    cfg = config(tmp_path, 'apart', **changes('AdamW'), **APART)
    text = message('train', cfg, '--work-dir', tmp_path / 'no', *where)
    assert 'in other groups' in text
    where += ['--override-optim']
    run('train', cfg, '--work-dir', tmp_path / 'on', *where)
    files = [tmp_path / folder / 'epoch_2.pth' for folder in ('merged', 'on')]
    assert_same(*(weights(file) for file in files))


def test_groups_of_the_same_sizes_with_other_members_are_told(tmp_path):
    halves = [
        {'custom_keys': {f'student.backbone.layers.{i}': {'lr_mult': 0.5}}}
        for i in (0, 1)
    ]
    changed = changes('SGD')
    changed['optim_wrapper']['paramwise_cfg'] = halves[0]
    cfg = config(tmp_path, **changed)
    one = ['--cfg-options', 'train_cfg.max_epochs=1']
    run('train', cfg, '--work-dir', tmp_path / 'a', *one)
    # so that a step changes nothing but the momentum, by its factor
    changed['optim_wrapper'] = {
        'optimizer': {**OPTIMIZERS['SGD'], 'lr': 0.0, 'weight_decay': 0.0},
        'clip_grad': {'max_norm': 1e-12},
        'paramwise_cfg': halves[1],
    }
    cfg = config(tmp_path, 'other', **changed)
    where = ['--work-dir', tmp_path / 'b', '--resume', tmp_path / 'a' / 'epoch_1.pth']
    text = message('train', cfg, *where)
    assert 'in other groups, 2, than the checkpoint, 2' in text
    resumed = run('train', cfg, *where, '--override-optim')
    slow = groups(resumed)[1]
    assert all('backbone.layers.1' in name for name in slow['param_names'])
    saved = weights(tmp_path / 'a' / 'epoch_1.pth', 'optimizer')
    moved = {
        name: saved['state'][number]['momentum_buffer']
        for group in saved['param_groups']
        for name, number in zip(group['param_names'], group['params'], strict=True)
    }
    by_name = dict(resumed.model.named_parameters())
    state = resumed.optim_wrapper.optimizer.state
    assert sum(bool(old.any()) for old in moved.values()) > 40
    for name, old in moved.items():
        new = state[by_name[name]]['momentum_buffer']
        torch.testing.assert_close(new, old * 0.9**4, rtol=1e-4, atol=1e-8)


def test_what_is_left_as_it_is():
    def constructor(**wrapper):
        cfg = Config({'optim_wrapper': wrapper})
        merge_groups(cfg)
        return cfg.optim_wrapper.get('constructor')

    adam = {'type': 'AdamW', 'lr': 1.0}
    assert constructor(optimizer=adam, paramwise_cfg=PARAMWISE) == MERGED
    assert constructor(optimizer=adam) is None
    # which is MMPretrain's, and may look at a group as a whole
    lamb = {'type': 'mmpretrain.Lamb', 'lr': 1.0}
    assert constructor(optimizer=lamb, paramwise_cfg=PARAMWISE) is None
    own = 'mmvitkd.BackboneLayerDecayConstructor'
    given = {'optimizer': adam, 'paramwise_cfg': PARAMWISE, 'constructor': own}
    assert constructor(**given) == own
    cfg = Config({'optim_wrapper': {'optimizer': adam, 'paramwise_cfg': PARAMWISE}})
    cfg.runner_type = 'FlexibleRunner'
    merge_groups(cfg)
    assert 'constructor' not in cfg.optim_wrapper


def test_a_parameter_in_two_places_is_refused_as_ever():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    cfg = {
        'optimizer': {'type': 'SGD', 'lr': 0.1, 'weight_decay': 0.1},
        'constructor': MERGED,
        'paramwise_cfg': {'bias_decay_mult': 0.0},
    }
    with pytest.raises(ValueError, match='more than one parameter group'):
        build_optim_wrapper(model, cfg)
    cfg['paramwise_cfg']['bypass_duplicate'] = True
    wrapper = build_optim_wrapper(model, cfg)
    assert [len(group['params']) for group in wrapper.optimizer.param_groups] == [1, 2]
