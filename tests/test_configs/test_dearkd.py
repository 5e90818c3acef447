import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.apis import get_model

from mmvitkd.utils.export import export_student
from tests.helpers import build, samples
from tests.shrink import CONFIGS, shrink

DEARKD = CONFIGS / 'dearkd'
TERMS = ('loss_hard', 'loss_hidden0', 'loss_hidden1')


class Watch(Hook):
    """Keeps of every iteration what the stages differ in."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.forwards = 0
        self.gradients = {'head_dist': 0.0, 'necks': 0.0}

    def before_train(self, runner: Runner) -> None:
        model = runner.model

        def count(*_: Any) -> None:
            self.forwards += 1

        model.teachers['teacher'].model.register_forward_pre_hook(count)
        watched = {
            'head_dist': model.student.head.layers.head_dist.parameters(),
            'necks': model.terms.parameters(),
        }
        for name, parameters in watched.items():
            for parameter in parameters:
                parameter.register_hook(partial(self.add, name))

    def add(self, name: str, gradient: torch.Tensor) -> None:
        """Sum up how large gradients are; the step clears them."""
        self.gradients[name] += gradient.abs().sum().item()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: dict
    ) -> None:
        step = {name: float(value) for name, value in outputs.items()}
        step.update(self.gradients, forwards=self.forwards)
        self.steps.append({**step, 'task_weight': runner.model.task_weight})
        self.gradients = dict.fromkeys(self.gradients, 0.0)


def config(folder: Path) -> Config:
    """The digits config, shrunk; three epochs of two steps, the last of stage II."""
    cfg = shrink(Config.fromfile(DEARKD / 'dearkd_digits.py'), folder)
    cfg.train_cfg.max_epochs = 3
    (hook,) = cfg.custom_hooks
    for schedule in (*hook.terms.values(), hook.task_weight):
        schedule.end = 2
    return cfg


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The real runner after both stages, what was watched, and its folder."""
    folder = tmp_path_factory.mktemp('dearkd')
    cfg = config(folder)
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    path = folder / 'run.py'
    cfg.dump(path)
    return runner, watch.steps, path


def test_stage_one_learns_from_the_teacher(trained):
    _, steps, _ = trained
    assert [step['forwards'] for step in steps[:4]] == [1, 2, 3, 4]
    for step in steps[:4]:
        assert step['task_weight'] == 0.5
        assert all(value > 0 for value in step.values())


def test_stage_two_asks_no_teacher(trained):
    """Its forwards stand still; the labels have their full weight."""
    _, steps, _ = trained
    assert len(steps[4:]) == 2
    for step in steps[4:]:
        assert step['forwards'] == 4
        assert step['task_weight'] == 1.0
        assert step['loss'] > 0
        assert all(step[name] == 0 for name in TERMS)
        assert step['necks'] == 0


def test_distillation_head_rests_in_stage_two_and_is_still_asked(trained):
    """No gradient reaches it; predictions stay the mean of both heads."""
    runner, steps, _ = trained
    assert [step['head_dist'] for step in steps[4:]] == [0, 0]
    model = runner.model
    model.eval()
    x = images()
    student = model.student
    tokens = student.backbone(x)[-1]
    layers = student.head.layers
    both = torch.stack([layers.head(tokens[0]), layers.head_dist(tokens[1])])
    torch.testing.assert_close(model(x), both.mean(0))
    assert not torch.allclose(both[0], both[1])


def test_trained_student_is_exported(trained, tmp_path):
    """An ordinary checkpoint and a config that MMPretrain reads with this package."""
    runner, _, path = trained
    checkpoint = Path(runner.work_dir) / 'epoch_3.pth'
    out = export_student(checkpoint, tmp_path / 'out.pth', config=path)
    cfg = Config.fromfile(out.with_suffix('.py'))
    assert cfg.model.backbone.type == 'mmvitkd.ConvAttentionViT'
    assert cfg.model.backbone.conv_layers == 2
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    plain.eval()
    runner.model.eval()
    torch.testing.assert_close(plain(images()), runner.model(images()))


def images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_switch_leaves_the_predictions_as_they_are(tmp_path):
    """The weights of the losses alone differ between the stages."""
    torch.manual_seed(0)
    cfg = config(tmp_path)
    model = build(copy.deepcopy(cfg.model))
    model.init_weights()
    model.eval()
    before = model(images())
    for term in model.terms.values():
        term.loss.loss_weight = 0.0
    model.task_weight = 1.0
    assert torch.equal(model(images()), before)
    losses = model(images(), samples([1, 2, 3, 4]), mode='loss')
    assert {name for name, value in losses.items() if value} == {'loss'}


@pytest.mark.parametrize('size', ['tiny', 'small'])
def test_two_stages_of_300_epochs(size):
    """By one schedule for every term and for the labels: 250 epochs and 50."""
    cfg = Config.fromfile(DEARKD / f'dearkd_deit-{size}_regnety-16gf_8xb128_in1k.py')
    (hook,) = cfg.custom_hooks
    assert set(hook.terms) == set(cfg.model.terms)
    assert {schedule.end for schedule in hook.terms.values()} == {250}
    assert cfg.train_cfg.max_epochs == 300
    task = cfg.model.task_weight
    assert (task, task * hook.task_weight.factor_after) == (0.5, 1.0)
