from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain import get_model

from mmvitkd.engine import BlockSkippingHook
from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.costs import count_flops
from mmvitkd.utils.export import export_student
from mmvitkd.utils.hooks import complete_hooks
from mmvitkd.utils.skipped_blocks import SKIPPING
from tests.shrink import CONFIGS, shrink

EPOCHS, STEPS = 4, 2


class Interrupted(Exception):
    pass


class Interrupt(Hook):
    """End a run before an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise Interrupted


def small(folder, counts=1, **settings):
    """The digits config, four epochs of two steps, gates updated every third."""
    folder.mkdir(exist_ok=True)
    cfg = shrink(Config.fromfile(CONFIGS / 'uvc/uvc_digits.py'), folder)
    cfg.custom_hooks[0].update({'warmup_epochs': 1, 'interval': 3, **settings})
    cfg.train_cfg.max_epochs = EPOCHS
    cfg.optim_wrapper.accumulative_counts = counts
    cfg.default_hooks.checkpoint = {
        'type': 'CheckpointHook',
        'by_epoch': False,
        'interval': 1,
    }
    for name in ('check', 'labels', 'images', 'rehearsal'):
        cfg.default_hooks[name] = None
    complete_hooks(cfg)
    return cfg


def gated(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, BlockSkippingHook))


def prices(runner):
    return runner.message_hub.get_scalar('train/price').data[0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize('counts', [1, 2])
def test_resumed_run_equals_an_uninterrupted_one(counts, tmp_path):
    """Inside an epoch, between two updates, also of accumulated gradients."""
    cfg = small(tmp_path / 'whole', counts)
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
    ends = [load_checkpoint(Path(r.work_dir) / 'iter_8.pth') for r in (whole, resumed)]
    for name, weight in ends[0]['state_dict'].items():
        assert torch.equal(weight, ends[1]['state_dict'][name]), name
    first, second = (end[SKIPPING] for end in ends)
    assert torch.equal(first['logits'], second['logits'])
    assert torch.equal(first['collected'], second['collected'])
    assert first['price'] == second['price']
    assert first['count'] == second['count'] == (EPOCHS - 1) * STEPS // counts


def test_price_rests_in_the_warm_up_and_then_rises(tmp_path):
    runner = Runner.from_cfg(small(tmp_path, budget=0.3))
    runner.train()
    first, *rising = prices(runner)[STEPS - 1 :]
    assert first == pytest.approx(1e-3)
    assert len(rising) == (EPOCHS - 1) * STEPS
    assert rising == sorted(rising)
    assert rising[0] > first
    logged = runner.message_hub.get_scalar('train/flops').data[0]
    assert rising[-1] == pytest.approx(1e-3 + (logged - 0.3).sum())


def test_budget_of_all_skips_nothing(tmp_path):
    runner = Runner.from_cfg(small(tmp_path, budget=1.0))
    runner.train()
    assert prices(runner)[-1] == 0
    assert gated(runner).gates.kept == [True] * 6
    logits = gated(runner).gates.logits.detach()
    assert not torch.equal(logits, torch.tensor([[-1.0, 1.0]] * 6))  # the loss's work


@pytest.fixture(scope='module')
def skipping(tmp_path_factory):
    """A run whose blocks 1 and 4 were then closed; its config, a checkpoint."""
    folder = tmp_path_factory.mktemp('skipping')
    cfg = small(folder)
    cfg.train_cfg.max_epochs = 1
    path = folder / 'run.py'
    cfg.dump(path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    gates = gated(runner).gates
    state = gates.state_dict()
    state['logits'][[1, 4]] = torch.tensor([0.5, 0.5])
    gates.load_state_dict(state)
    runner.save_checkpoint(str(folder), 'skipping.pth')
    return runner, path, folder / 'skipping.pth'


def test_exported_student_is_the_gated_one(skipping, tmp_path):
    """Upstream's own class, with four of six layers; the hook's multiply-adds."""
    runner, path, checkpoint = skipping
    out = export_student(checkpoint, tmp_path / 'student.pth', config=path)
    cfg = Config.fromfile(out.with_suffix('.py'))
    assert cfg.model.backbone.type == 'VisionTransformer'
    assert cfg.model.backbone.arch.num_layers == 4
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    plain.eval()
    runner.model.eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(plain(images), runner.model(images), rtol=0, atol=0)
    gates = gated(runner).gates
    assert gates.kept == [True, False, True, True, False, True]
    left, kept = count_flops(plain, (32, 32)), gates.kept
    share, gates.kept = gates.kept_resource(), [True] * 6
    assert share * count_flops(runner.model.student, (32, 32)) == pytest.approx(left)
    gates.kept = kept


def test_gates_open_by_their_draw_in_training(skipping):
    """With all gates open the model is the whole one, with none its embedding."""
    runner, _, _ = skipping
    student, gates = runner.model.student, gated(runner).gates
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    student.train()
    closed, opened = torch.tensor([[1.0, 0.0]] * 6), torch.tensor([[0.0, 1.0]] * 6)
    gates.values = closed
    before = student.backbone.layers[0].register_forward_pre_hook(
        lambda _, inputs: embedded.append(inputs[0])
    )
    embedded = []
    token = student.backbone(images)[-1]
    before.remove()
    torch.testing.assert_close(token, student.backbone.ln1(embedded[0])[:, 0])
    gates.values = opened
    token = student.backbone(images)[-1]
    kept, gates.kept = gates.kept, [True] * 6
    student.eval()
    torch.testing.assert_close(token, student.backbone(images)[-1])
    gates.kept = kept


def test_all_skipped_is_no_student(skipping, tmp_path):
    _, path, checkpoint = skipping
    saved = load_checkpoint(checkpoint)
    saved[SKIPPING]['logits'][:] = 0
    torch.save(saved, tmp_path / 'none.pth')
    with pytest.raises(ValueError, match="all 6 blocks of 'backbone.layers' are skip"):
        export_student(tmp_path / 'none.pth', tmp_path / 'student.pth', config=path)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'budget': 0}, 'budget=0 must be a share of multiply-adds'),
        ({'budget': 1.5}, 'budget=1.5 must be a share'),
        ({'lr': 0.0}, 'lr=0.0 must be positive and finite'),
        ({'clip': -1}, 'clip=-1 must be positive'),
        ({'interval': 1}, 'interval=1 must be at least 2: the first gradient has'),
        ({'interval': 0, 'weigh_positions': False}, 'interval=0 must be at least 1'),
        ({'warmup_epochs': -1}, 'warmup_epochs=-1 must be at least 0'),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        BlockSkippingHook(**{'budget': 0.5, **settings})


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'blocks': 'backbone.blocks'},
            r"'backbone.blocks' is no ModuleList.*'backbone.laye",
        ),
        ({'budget': 0.01}, 'budget=0.01 leaves no block: what is outside'),
    ],
)
def test_hook_that_does_not_fit_the_student(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(small(tmp_path, **settings)).train()


def test_outputs_of_other_blocks_are_refused(tmp_path):
    cfg = small(tmp_path)
    cfg.model.student.backbone.out_indices = [2, 5]
    with pytest.raises(ValueError, match=r'out_indices=\[2, 5\].*out_indices=\[5\]'):
        Runner.from_cfg(cfg).train()


def test_checkpoint_without_gates_is_not_resumed(skipping, tmp_path):
    _, _, checkpoint = skipping
    saved = load_checkpoint(checkpoint)
    del saved[SKIPPING]
    torch.save(saved, tmp_path / 'plain.pth')
    cfg = small(tmp_path)
    cfg.update(load_from=str(tmp_path / 'plain.pth'), resume=True)
    with pytest.raises(ValueError, match='resumed from has no gates'):
        Runner.from_cfg(cfg).train()
