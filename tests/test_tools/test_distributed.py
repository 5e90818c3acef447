"""Several processes: the same gradients as one, and nothing of the teacher's sent."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel

from mmvitkd.utils import cli
from tests.helpers import MIMIC, build, distiller, save_weights
from tests.test_tools.runs import (
    PIPELINE,
    PLAIN,
    ROOT,
    begin,
    config,
    end,
    loader,
    run,
    run_together,
    weights,
)

ECHO = {'PYTHON': 'echo'}


@pytest.mark.slow
def test_gradients_of_two_processes_equal_one_on_the_joint_batch(tmp_path):
    """By ``dist_train.sh``; one step of SGD at rate 1 changes by the gradient."""
    init = {'load_from': str(tmp_path / 'init.pth')}
    joint = config(tmp_path, 'joint', **PLAIN, **init)
    half = config(
        tmp_path, 'half', **PLAIN, **init, **{'train_dataloader.batch_size': 8}
    )
    start = weights(save_weights(distiller(tmp_path), tmp_path / 'init.pth'))

    two = begin('bash', 'tools/dist_train.sh', half, 2, '--work-dir', tmp_path / 'two')
    run('train', joint, '--work-dir', tmp_path / 'one')
    out = end(two)
    assert 'loss_gen' in out

    one, two = (weights(tmp_path / n / 'epoch_1.pth') for n in ('one', 'two'))
    assert one.keys() == two.keys() == start.keys()
    for key in start:
        gradient = start[key] - one[key]
        torch.testing.assert_close(
            start[key] - two[key], gradient, rtol=1e-4, atol=1e-6
        )
    assert sum(bool((start[k] != one[k]).any()) for k in start) > 40


def test_relations_of_two_processes_equal_those_of_the_joint_batch(tmp_path):
    """``ManifoldLoss``, gathered; of all tokens, so that none are drawn."""
    loss = {'type': 'ManifoldLoss', 'num_samples': 16 * 16, 'gather': True}
    loss |= {'inter': 10.0, 'random': 10.0}  # so that they are seen beside the others
    tap = 'backbone.layers.1'
    changes = {
        **PLAIN,
        'model.terms.manifold': {'student': tap, 'teacher': tap, 'loss': loss},
        'load_from': str(tmp_path / 'init.pth'),
    }
    joint = config(tmp_path, 'joint', **changes)
    half = config(tmp_path, 'half', **changes, **{'train_dataloader.batch_size': 8})
    start = weights(save_weights(distiller(tmp_path), tmp_path / 'init.pth'))
    run_together(2, 'train', half, '--work-dir', tmp_path / 'two')
    run('train', joint, '--work-dir', tmp_path / 'one')
    one, two = (weights(tmp_path / n / 'epoch_1.pth') for n in ('one', 'two'))
    for key in start:
        error = (two[key] - one[key]).norm()
        assert error <= 1e-4 * (one[key] - start[key]).norm() + 1e-6, key


STOP = {'type': 'TermWeightHook', 'by_epoch': False}
WITHOUT_LABELS = {
    'never': {'model.task_weight': 0.0},
    'no more': {'custom_hooks': [{**STOP, 'task_weight': {'kind': 'stop', 'end': 2}}]},
}


@pytest.mark.parametrize('when', WITHOUT_LABELS)
def test_what_no_label_and_no_term_reaches_stays_in_two_processes(
    tmp_path, when, capfd
):
    """With terms on early layers alone, which torch refuses by default.

    Weight decay must not differ either: it passes over what has no gradient.
    """
    optimizer = {'type': 'AdamW', 'lr': 0.1, 'eps': 1.0, 'weight_decay': 0.5}
    changes = {
        **PLAIN,
        'model.terms': {'_delete_': True, 'mimic0': MIMIC},
        'train_dataloader': loader('train', PIPELINE, images=64, shuffle=False),
        'optim_wrapper.optimizer': {'_delete_': True, **optimizer},
        'load_from': str(tmp_path / 'init.pth'),
        **WITHOUT_LABELS[when],
    }
    joint = config(tmp_path, 'joint', **changes)
    half = config(tmp_path, 'half', **changes, **{'train_dataloader.batch_size': 8})
    start = weights(save_weights(Config.fromfile(joint).model, tmp_path / 'init.pth'))
    run_together(2, 'train', half, '--work-dir', tmp_path / 'two')
    text = 'find_unused_parameters=True, so that DDP does not wait'
    assert capfd.readouterr().out.count(text) == 1
    run('train', joint, '--work-dir', tmp_path / 'one')
    one, two = (weights(tmp_path / n / 'epoch_1.pth') for n in ('one', 'two'))
    for key in start:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5)
    same = {key for key in start if torch.equal(start[key], two[key])}
    assert same == {key for key in start if torch.equal(start[key], one[key])}
    assert ('student.head.layers.head.weight' in same) == (when == 'never')
    assert 'student.backbone.layers.0.attn.qkv.weight' not in same


def find_unused(**changes):
    cfg = Config({'launcher': 'pytorch', 'model': {'task_weight': 0.0}, **changes})
    return bool(cli._let_ddp_find_unused(cfg)), cfg


def test_a_users_own_setting_stays():
    key = 'find_unused_parameters'
    said, cfg = find_unused()
    assert said
    assert cfg[key] is True
    said, cfg = find_unused(**{key: False})
    assert not said
    assert cfg[key] is False
    said, cfg = find_unused(model_wrapper_cfg={'static_graph': True})
    assert said
    assert cfg.model_wrapper_cfg == {'static_graph': True, key: True}
    for changes in (
        {'model_wrapper_cfg': {key: False}},
        {'model_wrapper_cfg': {'type': 'Other'}},
        {'runner_type': 'FlexibleRunner'},
        {'model': {}},
        {'model': {'task_weight': 0.5}},
    ):
        said, cfg = find_unused(**changes)
        assert not said
        assert key not in cfg
        assert cfg.get('model_wrapper_cfg') == changes.get('model_wrapper_cfg')


@pytest.mark.parametrize(
    ('schedule', 'zero'),
    [
        ({'kind': 'stop', 'end': 3}, True),
        ({'kind': 'stop', 'end': 3, 'factor_after': 2}, False),
        ({'kind': 'ramp', 'end': 3}, True),
        ({'kind': 'ramp', 'end': 3, 'start_factor': 0.1}, False),
        ({'kind': 'cosine', 'end': 3, 'start_factor': 1, 'end_factor': 0}, True),
    ],
)
def test_of_schedules_those_that_reach_zero_count(schedule, zero):
    hook = {'type': 'mmvitkd.TermWeightHook', 'task_weight': schedule}
    assert find_unused(model={}, custom_hooks=[hook])[0] == zero


def test_teacher_is_in_no_bucket_of_ddp(tmp_path):
    model = build(distiller(tmp_path))
    store = torch.distributed.FileStore(str(tmp_path / 'store'), 1)
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(model, device_ids=None)
        seen = wrapped._get_ddp_logging_data()
    finally:
        torch.distributed.destroy_process_group()
    own = sum(
        p.numel() for p in (*model.student.parameters(), *model.terms.parameters())
    )
    assert seen['total_parameter_size_bytes'] == 4 * own


def test_one_machine_meets_at_any_free_port():
    out = end(begin('bash', 'tools/dist_test.sh', 'c.py', 'w.pth', 2, '--tta', **ECHO))
    assert out.split() == [
        '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node=2',
        str(ROOT / 'tools' / 'test.py'), 'c.py', 'w.pth', '--tta',
        '--launcher', 'pytorch',
    ]  # fmt: skip


def test_several_machines_by_the_usual_variables():
    out = end(
        begin(
            'bash', 'tools/dist_train.sh', 'some.py', 4, '--amp', **ECHO,
            NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234',
        )
    )  # fmt: skip
    assert out.split() == [
        '-m', 'torch.distributed.run', '--nnodes=2', '--node-rank=1',
        '--master-addr=10.0.0.1', '--master-port=1234', '--nproc-per-node=4',
        str(ROOT / 'tools' / 'train.py'), 'some.py', '--amp', '--launcher', 'pytorch',
    ]  # fmt: skip


def slurm(folder, **env):
    """Start ``slurm_train.sh`` where ``srun`` shows its options and runs the task."""
    fakes = {
        'srun': 'while [[ $1 == --* ]]; do echo "$1"; shift; done\n'
        'SLURM_NNODES=2 SLURM_NODEID=1 SLURM_JOB_NODELIST=n[3-4] exec "$@"',
        'scontrol': 'printf "n3\\nn4\\n"',
    }
    for name, body in fakes.items():
        (folder / name).write_text(f'#!/usr/bin/env bash\n{body}\n')
        (folder / name).chmod(0o755)
    command = f'PATH={folder}:$PATH exec bash tools/slurm_train.sh "$@"'
    args = ['part', 'job', 'some.py', 'out', '--resume']
    return begin('bash', '-c', command, 'bash', *args, **ECHO, **env)


def test_slurm_starts_torchrun_on_every_node(tmp_path):
    shown = end(slurm(tmp_path, GPUS='16', SRUN_ARGS='--qos=low --time=9')).split()
    for option in (
        '--partition=part', '--job-name=job', '--nodes=2', '--ntasks-per-node=1',
        '--gres=gpu:8', '--cpus-per-task=40', '--qos=low', '--time=9',
        '--nnodes=2', '--node-rank=1', '--master-addr=n3', '--master-port=29500',
        '--nproc-per-node=8', 'some.py', '--resume',
    ):  # fmt: skip
        assert option in shown
    assert shown[shown.index('--work-dir') + 1] == 'out'


def test_slurm_with_fewer_gpus_than_a_node_has(tmp_path):
    assert '--gres=gpu:4' in end(slurm(tmp_path, GPUS='4'))
    assert 'does not fill' in end(slurm(tmp_path, GPUS='12'), code=2)


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_missing_arguments_show_the_usage(script):
    assert 'usage: bash tools/' in end(begin('bash', f'tools/{script}'), code=2)


def test_other_launchers_say_that_they_need_gpus(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='--launcher slurm needs GPUs'):
        cli.build_runner(Config({'launcher': 'slurm'}))
    assert not torch.distributed.is_initialized()
    assert 'RANK' not in os.environ
