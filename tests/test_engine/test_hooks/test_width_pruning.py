"""BlockSkippingHook with widths, by real runs; its gates: test_block_skipping_hook."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain import get_model

from mmvitkd.engine import BlockSkippingHook
from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.costs import count_flops
from mmvitkd.utils.export import export_student
from mmvitkd.utils.skipped_blocks import SKIPPING
from tests.test_engine.test_hooks.test_block_skipping_hook import (
    Interrupt,
    Interrupted,
    gated,
    small,
)

# so strong that a few steps tell
STRONG = {'lr': 1.0, 'price_lr': 0.01}


def narrow(folder, counts=1, widths=STRONG, **settings):
    """The digits config under a budget that widths alone must keep."""
    settings = {'budget': 0.6, 'skip': False, 'widths': widths, **settings}
    settings = {'price_lr': 100.0, **settings}
    return small(folder, counts, **settings)


def state_of(runner, number):
    return load_checkpoint(Path(runner.work_dir) / f'iter_{number}.pth')


@pytest.mark.parametrize(
    ('counts', 'skip'), [pytest.param(1, True, marks=pytest.mark.slow), (2, False)]
)
def test_resumed_run_equals_an_uninterrupted_one(counts, skip, tmp_path):
    cfg = narrow(tmp_path / 'whole', counts, skip=skip)
    whole = Runner.from_cfg(cfg)
    whole.train()
    cfg.work_dir = str(tmp_path / 'killed')
    killed = Runner.from_cfg(cfg)
    killed.register_hook(Interrupt(5))
    with pytest.raises(Interrupted):
        killed.train()
    cfg.update(load_from=str(tmp_path / 'killed/iter_5.pth'), resume=True)
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    ends = [state_of(runner, 8) for runner in (whole, resumed)]
    for name, weight in ends[0]['state_dict'].items():
        assert torch.equal(weight, ends[1]['state_dict'][name]), name
    first, second = (end[SKIPPING] for end in ends)
    assert first['price'] == second['price']
    assert first['widths']['removed'].any()
    for name, value in first['widths'].items():
        assert torch.equal(value, second['widths'][name]), name


@pytest.fixture(scope='module')
def pruned(tmp_path_factory):
    """A run of widths beside gates that stay open, its config, its last checkpoint."""
    folder = tmp_path_factory.mktemp('pruned')
    cfg = narrow(folder, skip=True, lr=1e-9)
    path = folder / 'run.py'
    cfg.dump(path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, path, Path(runner.work_dir) / 'iter_8.pth'


def plain_student(path, checkpoint, folder):
    out = export_student(checkpoint, folder / 'student.pth', config=path)
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    return Config.fromfile(out.with_suffix('.py')), plain.eval()


def require_same(runner, plain):
    """The masked student's outputs, and the hook's multiply-adds."""
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    runner.model.eval()
    torch.testing.assert_close(
        plain(images), runner.model(images), rtol=1e-5, atol=1e-5
    )
    gates, student = gated(runner).gates, runner.model.student
    kept, gates.kept = gates.kept, [True] * 6  # or the counter would see less
    whole = count_flops(student, (32, 32))
    gates.kept = kept
    left = count_flops(plain, (32, 32))
    assert left < whole
    assert gates.kept_resource() * whole == pytest.approx(left, rel=1e-6)
    return left / whole


def test_widths_go_down_and_the_export_is_as_narrow(pruned, tmp_path):
    """Of all six blocks."""
    runner, path, checkpoint = pruned
    assert gated(runner).gates.kept == [True] * 6
    cfg, plain = plain_student(path, checkpoint, tmp_path)
    assert cfg.model.backbone.type == 'mmvitkd.SlicedViT'
    assert cfg.model.backbone.arch.num_layers == 6
    share = require_same(runner, plain)
    logged = runner.message_hub.get_scalar('train/kept_flops').current()
    assert logged == pytest.approx(share, rel=1e-6)


def test_blocks_skipped_beside_widths(pruned, tmp_path):
    """Four narrower blocks are left, numbered anew, each with its own widths."""
    runner, path, _ = pruned
    gates = gated(runner).gates
    before = gates.state_dict()
    state = gates.state_dict()
    state['logits'][[1, 4]] = torch.tensor([0.5, 0.5])
    gates.load_state_dict(state)
    runner.save_checkpoint(str(tmp_path), 'both.pth')
    cfg, plain = plain_student(path, tmp_path / 'both.pth', tmp_path)
    assert cfg.model.backbone.arch.num_layers == 4
    assert cfg.model.backbone.type == 'mmvitkd.SlicedViT'
    require_same(runner, plain)
    gates.load_state_dict(before)


def test_log_ends_with_what_the_second_stage_needs(pruned):
    runner, _, _ = pruned
    (log,) = Path(runner.work_dir).rglob('*.log')
    found = dict(re.findall(r'^(value_dims|hidden_units)=(\S+)', log.read_text(), re.M))
    widths = gated(runner).gates.widths
    units = json.loads(found['hidden_units'])
    assert units == widths.kept_units.sum(1).tolist()
    assert len(json.loads(found['value_dims'])) == 6


def test_units_alone_need_nothing_of_ours(tmp_path):
    cfg = narrow(tmp_path, budget=0.9, widths={**STRONG, 'heads': False, 'dims': False})
    path = tmp_path / 'run.py'
    cfg.dump(path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    checkpoint = Path(runner.work_dir) / 'iter_8.pth'
    plain_cfg, plain = plain_student(path, checkpoint, tmp_path)
    require_same(runner, plain)
    assert plain_cfg.model.backbone.type == 'VisionTransformer'
    assert 'mmvitkd' not in str(plain_cfg.model)
    units = [layer.ffn.feedforward_channels for layer in plain.backbone.layers]
    assert units == gated(runner).gates.widths.kept_units.sum(1).tolist()
    assert max(units) < runner.model.student.backbone.layers[0].ffn.feedforward_channels


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'skip': False}, 'skip=False needs widths'),
        (
            {'skip': False, 'widths': {}, 'budget': 0.4},
            'clip=0.5 keeps a student that is 0.6 over the budget',
        ),
        ({'widths': True}, 'widths must be a dict, or None for no widths, got True'),
        ({'widths': {'head': True}}, r"widths has \['head'\]: it takes \['lr', "),
        ({'widths': {'lr': 0}}, 'widths: lr=0 must be positive and finite'),
        ({'widths': {'price_lr': -1.0}}, 'widths: price_lr=-1.0 must be positive'),
        (
            {'widths': {'heads': False, 'dims': False, 'units': False}},
            'heads, dims and units are all False',
        ),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        BlockSkippingHook(**{'budget': 0.5, **settings})


def test_budget_that_no_width_can_keep(tmp_path):
    cfg = narrow(tmp_path, budget=0.1, clip=None)
    with pytest.raises(ValueError, match='budget=0.1 is too small: what is left with'):
        Runner.from_cfg(cfg).train()


def test_frozen_blocks_are_refused(tmp_path):
    cfg = narrow(tmp_path)
    cfg.model.student.backbone.frozen_stages = 2
    with pytest.raises(ValueError, match=r"blocks \[0, 1\] of 'backbone.layers' are n"):
        Runner.from_cfg(cfg).train()


def test_checkpoint_without_widths_is_refused(pruned, tmp_path):
    _, _, checkpoint = pruned
    saved = load_checkpoint(checkpoint)
    del saved[SKIPPING]['widths']
    torch.save(saved, tmp_path / 'gates.pth')
    cfg = narrow(tmp_path)
    cfg.update(load_from=str(tmp_path / 'gates.pth'), resume=True)
    with pytest.raises(ValueError, match='checkpoint has no widths, unlike this run'):
        Runner.from_cfg(cfg).train()
