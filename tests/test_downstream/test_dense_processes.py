"""Detectors and segmentors as students, in two processes."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvitkd.utils import load_checkpoint
from tests.test_downstream.dense import (
    build,
    command,
    draw,
    mask_rcnn,
    retinanet,
    segmentor,
    tap,
    term,
)
from tests.test_tools.runs import run_together

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

MODELS_OF = {'mask-rcnn': mask_rcnn, 'retinanet': retinanet, 'segmentor': segmentor}
STEP = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 1e-3}}
SAID = 'find_unused_parameters=True, so that DDP does not wait'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return draw(tmp_path_factory)


def trained(cfg: Config, folder: Path, processes: int, images: list[int], batch: int):
    """Train for an epoch of these scenes, by the command; return the weights."""
    cfg = copy.deepcopy(cfg)
    cfg.optim_wrapper = STEP
    cfg.param_scheduler = []
    cfg.train_dataloader.update(
        batch_size=batch, sampler={'type': 'DefaultSampler', 'shuffle': False}
    )
    cfg.train_dataloader.dataset.indices = images
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    name = f'processes{processes}'
    cfg.experiment_name += name
    path = folder / f'{name}.py'
    cfg.dump(path)
    args = [path, '--work-dir', folder / name]
    if processes > 1:
        run_together(processes, 'train', *args)
    else:
        command('train', *args)
    return load_checkpoint(folder / name / 'epoch_1.pth')['state_dict']


def begun(cfg: Config, folder: Path) -> dict[str, torch.Tensor]:
    """Write weights that every training begins with."""
    torch.manual_seed(0)
    model = build(cfg)
    model.init_weights()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save({'state_dict': weights}, folder / 'begun.pth')
    cfg.load_from = str(folder / 'begun.pth')
    # running statistics are those of a process
    return {name: weights[name] for name, _ in model.named_parameters()}


@pytest.mark.parametrize('kind', ['retinanet', 'segmentor'])
def test_two_processes_that_see_the_same_scenes_are_one(kind, scenes, tmp_path, capfd):
    """Their own losses and the terms: the mean of equal gradients is any of them."""
    cfg = MODELS_OF[kind](scenes, tmp_path)
    start = begun(cfg, tmp_path)
    two = trained(cfg, tmp_path, 2, [0, 0, 1, 1], 1)
    assert SAID not in capfd.readouterr().out
    one = trained(cfg, tmp_path, 1, [0, 1], 1)
    moved = 0
    for key in start:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-6)
        moved += not torch.equal(start[key], one[key])
    assert moved > 40


@pytest.mark.parametrize('kind', MODELS_OF)
def test_without_labels_two_processes_are_one_on_the_joint_batch(
    kind, scenes, tmp_path, capfd
):
    """Of terms alone; DDP is told not to wait for what they do not reach."""
    terms = {'mimic': term('ViTKDMimicLoss', 'backbone.layers.0')}
    terms['mimic']['neck'] = {'type': 'LinearProjector'}
    if kind == 'retinanet':
        terms['fpn0'] = term('ViTKDMimicLoss', tap('neck', output=0))
    cfg = MODELS_OF[kind](scenes, tmp_path, terms=terms, task_weight=0)
    start = begun(cfg, tmp_path)
    two = trained(cfg, tmp_path, 2, [0, 1, 2, 3], 1)
    assert capfd.readouterr().out.count(SAID) == 1
    one = trained(cfg, tmp_path, 1, [0, 1, 2, 3], 2)
    moved = {key for key in start if not torch.equal(start[key], one[key])}
    assert moved == {key for key in start if not torch.equal(start[key], two[key])}
    assert 'student.backbone.layers.0.attn.qkv.weight' in moved
    assert not any('head' in key for key in moved)
    for key in start:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-6)


def test_a_detector_of_two_stages_trains_with_labels(scenes, tmp_path, capfd):
    """All of its parameters get gradients, so nothing has to be told to DDP."""
    cfg = mask_rcnn(scenes, tmp_path)
    start = begun(cfg, tmp_path)
    two = trained(cfg, tmp_path, 2, [0, 1, 2, 3], 1)
    assert SAID not in capfd.readouterr().out
    assert not [key for key in start if torch.equal(start[key], two[key])]
