"""Several processes: the same gradients as one, and nothing of the teacher's sent."""

import os

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from tests.helpers import build, distiller, save_weights
from tests.test_tools.runs import (
    PLAIN,
    ROOT,
    begin,
    config,
    end,
    run,
    run_together,
    weights,
)

ECHO = {'PYTHON': 'echo'}


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
    from mmengine.config import Config

    from mmvitkd.utils import cli

    monkeypatch.setattr(cli, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match='--launcher slurm needs GPUs'):
        cli.build_runner(Config({'launcher': 'slurm'}))
    assert not torch.distributed.is_initialized()
    assert 'RANK' not in os.environ
