from types import SimpleNamespace

import pytest
import torch

from mmvitkd.engine import ActivationCheckpointingHook
from tests.helpers import MIMIC, NKD, build, distiller, samples
from tests.test_tools.runs import assert_same, config, run, weights

HOOK = {'type': 'ActivationCheckpointingHook'}


def test_a_run_is_the_same_with_it(tmp_path):
    """Drop path, Mixup and random masks included."""
    hooks = {'plain': [], 'hook': [HOOK]}
    for name, custom in hooks.items():
        cfg = config(tmp_path, name, custom_hooks=custom, **{'train_cfg.max_epochs': 1})
        run('train', cfg, '--work-dir', tmp_path / name)
    assert_same(*(weights(tmp_path / name / 'epoch_1.pth') for name in hooks))


@pytest.mark.parametrize('path', ['backbone.layers.1', 'backbone.layers.1.attn'])
def test_taps_at_and_in_a_block_fire_once_and_give_the_same_gradients(tmp_path, path):
    """Though the block is computed twice."""
    terms = {'mimic': {**MIMIC, 'student': path}, 'nkd': NKD}
    images, found, calls = torch.randn(4, 3, 32, 32), [], []
    plain, checkpointed = (build(distiller(tmp_path, terms=terms)) for _ in range(2))
    checkpointed.load_state_dict(plain.state_dict())
    ActivationCheckpointingHook().before_train(SimpleNamespace(model=checkpointed))
    for model in (plain, checkpointed):
        attention = model.student.backbone.layers[1].attn
        attention.register_forward_hook(lambda *_: calls.append(1))
        sum(model.loss(images, samples([0, 1, 2, 3])).values()).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
        calls.append(0)
    assert calls == [1, 0, 1, 1, 0]
    torch.testing.assert_close(*found)


def test_a_path_that_does_not_exist(tmp_path):
    hook = ActivationCheckpointingHook('student.backbone.blocks')
    with pytest.raises(ValueError, match="no module 'student.backbone.blocks'"):
        hook.before_train(SimpleNamespace(model=build(distiller(tmp_path))))
