"""Training and commands on a stand-in of a GPU: nothing is left on the CPU."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from PIL import Image
from torch.utils._pytree import tree_leaves

from mmvitkd.datasets.digits import load_scans
from mmvitkd.inspection.models import Captured, Classifier
from mmvitkd.models import losses
from mmvitkd.utils.own_configs import own_configs
from tests.helpers import MIMIC, build, distiller, samples, save_weights, vit
from tests.shrink import shrink
from tests.stand_in import NAME, stand_in
from tests.test_downstream.dense import draw, retinanet, segmentor
from tests.test_models.test_classifiers.test_synchronisations import (
    CONFIGS,
    METHODS,
    terms_of_every_loss,
    terms_of_every_neck,
)
from tests.test_tools.runs import assert_same, cache, config, run, weights

DEVICE = ('--device', NAME)
# torch counts its devices at the first backward pass: a process that may have done one
# has no other any more, nor have its forks
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload([__name__])


def there(target: Callable, *args: Any, code: int = 0, **env: str) -> None:
    """Call a function in a process whose device is not the CPU."""
    process = SERVER.Process(target=_on_device, args=(env, target, *args))
    process.start()
    process.join(timeout=300)
    found = process.exitcode
    process.kill()
    assert found == code


def _on_device(env: dict[str, str], target: Callable, *args: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(env)
    with stand_in() as device:
        assert torch.ones(2, device=device).device == device
        target(*args)


# ---------------------------------------------------------------- a step of training


def step(folder: Path, terms: dict, student: dict | None = None) -> None:
    """A batch under every term, backwards too, and a step of the optimiser."""
    model = build(distiller(folder, terms=terms, student=student or vit(16)))
    model.init_weights()
    model.to(NAME)
    model.train()
    data = {'inputs': torch.randn(4, 3, 32, 32), 'data_samples': samples([0, 1, 2, 3])}
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), 1e-3))
    for _ in range(2):
        found = model.train_step(data, wrapper)
    assert set(found) == {'loss', *(f'loss_{name}' for name in terms)}
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    tensors = [*model.parameters(), *gradients, *found.values()]
    assert {x.device.type for x in tensors} == {NAME}


def test_every_loss(tmp_path):
    there(step, tmp_path, terms_of_every_loss(), vit(24))


def test_every_neck(tmp_path):
    there(step, tmp_path, terms_of_every_neck())


MIMICKED = losses.ViTKDMimicLoss.equation


def mixing(self: Any, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    return MIMICKED(self, student * torch.ones(student.shape[-1]), teacher)


def reading(self: Any, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    assert student.detach().numpy().size
    return MIMICKED(self, student, teacher)


def noticed(folder: Path, equation: Callable, error: type, message: str) -> None:
    with (
        mock.patch.object(losses.ViTKDMimicLoss, 'equation', equation),
        pytest.raises(error, match=message),
    ):
        step(folder, {'mimic': MIMIC})


def test_what_is_left_on_the_cpu_is_noticed(tmp_path):
    there(noticed, tmp_path, mixing, RuntimeError, 'aten.mul.Tensor: standin and')
    there(noticed, tmp_path, reading, TypeError, "can't convert standin .* to numpy")


def train_and_test(name: str, folder: Path) -> None:
    runner = Runner.from_cfg(shrink(Config.fromfile(CONFIGS[name]), folder))
    runner.train()
    runner.test()
    assert {p.device.type for p in runner.model.parameters()} == {NAME}


@pytest.mark.slow
@pytest.mark.parametrize('name', [n for n in METHODS if n.endswith('_digits')])
def test_methods_by_their_configs(name, tmp_path):
    there(train_and_test, name, tmp_path)


def train_dense(kind: str, scenes: Path, folder: Path) -> None:
    cfg = {'retinanet': retinanet, 'segmentor': segmentor}[kind](scenes, folder)
    if kind == 'retinanet':  # mmcv's NMS knows no other device than its own
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert {p.device.type for p in runner.model.parameters()} == {NAME}


@pytest.mark.slow
@pytest.mark.onedl_only
@pytest.mark.parametrize('kind', ['retinanet', 'segmentor'])
def test_detectors_and_segmentors(kind, tmp_path_factory, tmp_path):
    there(train_dense, kind, draw(tmp_path_factory), tmp_path)


# -------------------------------------------------------------------- whole commands


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The same run on the CPU, in ``here``, and on the other device."""
    folder = tmp_path_factory.mktemp('device')
    cfg = config(folder)
    run('train', cfg, '--work-dir', folder / 'here')
    there(run, 'train', cfg, '--work-dir', folder / 'there')
    return folder


def curves(work: Path) -> dict[str, list[float]]:
    """Losses and accuracies that a run has logged."""
    (file,) = work.glob('*/vis_data/scalars.json')
    found: dict[str, list[float]] = {}
    for line in file.read_text().splitlines():
        for name, value in json.loads(line).items():
            if 'loss' in name or 'accuracy' in name:
                found.setdefault(name, []).append(value)
    return found


def assert_as_on_the_cpu(here: Path, elsewhere: Path) -> None:
    """To rounding: attention, for one, is computed by other kernels."""
    expected, found = curves(here), curves(elsewhere)
    assert {'loss', 'loss_gen', 'accuracy/top1'} <= set(expected)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-4), name


def test_a_run_goes_as_on_the_cpu(trained):
    assert_as_on_the_cpu(trained / 'here', trained / 'there')
    saved = torch.load(trained / 'there' / 'epoch_2.pth', weights_only=False)
    tensors = [x for x in tree_leaves(saved) if isinstance(x, torch.Tensor)]
    assert {type(x) for x in tensors} == {torch.Tensor}  # which are the CPU's


@pytest.mark.slow
def test_a_killed_run_is_resumed(trained):
    cfg, work = trained / 'tiny.py', trained / 'resumed'
    killed = {'code': -signal.SIGKILL, 'KILL_BEFORE_ITER': '6'}
    there(run, 'train', cfg, '--work-dir', work, **killed)
    there(run, 'train', cfg, '--work-dir', work, '--resume')
    assert_same(
        *(weights(folder / 'epoch_2.pth') for folder in (trained / 'there', work))
    )


@pytest.mark.slow
def test_teachers_outputs_are_stored_and_trained_from(trained):
    cfg = trained / 'tiny.py'
    cache(cfg, trained / 'cpu', '--epochs', '2')
    there(cache, cfg, trained / 'device', '--epochs', '2', *DEVICE)
    run('train', trained / 'cpu' / 'tiny_cached.py', '--work-dir', trained / 'one')
    cached = trained / 'device' / 'tiny_cached.py'
    there(run, 'train', cached, '--work-dir', trained / 'other')
    assert_as_on_the_cpu(trained / 'one', trained / 'other')


@pytest.mark.slow
def test_student_is_tested_and_probed(trained):
    cfg, student = trained / 'tiny.py', trained / 'there' / 'epoch_2.pth'
    there(run, 'test', cfg, student, '--metrics', trained / 'metrics.json')
    assert 'accuracy/top1' in (trained / 'metrics.json').read_text()
    out = trained / 'probe'
    there(run, 'probe', cfg, student, '--out', out, '--k', '3', *DEVICE)
    assert 'knn3/top1' in (out / 'probe.json').read_text()


@pytest.mark.slow
def test_images_are_selected_and_synthesised(trained):
    """By a teacher on the device."""
    wild = trained / 'wild'
    wild.mkdir()
    for i, scan in enumerate(load_scans()[0][:12]):
        Image.fromarray(np.stack([scan] * 3, -1)).save(wild / f'{i}.png')
    given = ('--images', wild, '--count', '4', '--out', trained / 'selected', *DEVICE)
    there(run, 'select_data', trained / 'tiny.py', *given)
    assert (trained / 'selected' / 'selected.txt').read_text().count('png') == 4

    cfg = Config.fromfile(CONFIGS['df-dearkd_digits'])
    save_weights(cfg.model.teacher.cfg, trained / 'resnet.pth')
    teacher = f'model.teacher.checkpoint={trained / "resnet.pth"}'
    given = ('--count', '10', '--coarse-steps', '1', '--steps', '1', *DEVICE)
    out = ('--out', trained / 'made')
    there(run, 'synthesise', cfg.filename, *out, *given, '--cfg-options', teacher)
    assert len([*(trained / 'made').rglob('*.png')]) == 10


@pytest.mark.slow
def test_the_report_looks_into_models(trained):
    """Their figures come from tensors that lie on the device."""
    page = trained / 'report.html'
    there(run, 'report', trained / 'there', '--out', page, '--csv', trained / 'csv')
    text = page.read_text()
    assert 'could not be run' not in text
    assert 'can not be looked into' not in text
    for table in ('attention_summary', 'distance', 'dynamics'):
        assert (trained / 'csv' / f'{table}.csv').is_file()


@pytest.mark.slow
def test_models_are_analysed_and_advice_is_given_as_on_the_cpu(tmp_path):
    """What is written differs by rounding alone."""
    names = ('teacher', 'student')
    teacher, student = (own_configs() / 'digits' / f'digits_{x}.py' for x in names)
    files = {
        cfg: save_weights(Config.fromfile(cfg).model, tmp_path / f'{cfg.stem}.pth')
        for cfg in (teacher, student)
    }
    shown = ('--data', student, '--count', '40')
    models = [
        item for cfg, file in files.items() for item in ('--model', cfg.stem, cfg, file)
    ]
    run('analyse', *models, *shown, '--out', tmp_path / 'here')
    there(run_there, 'analyse', *models, *shown, '--out', tmp_path / 'there', *DEVICE)
    found = [
        dict(numbers_of(json.loads((tmp_path / folder / 'analysis.json').read_text())))
        for folder in ('here', 'there')
    ]
    assert len(found[0]) > 100
    assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-5)

    given = [teacher, student, *shown]
    for name, file in zip(names, files.values(), strict=True):
        given += [f'--{name}-checkpoint', file]
    run('advise', *given, '--out', tmp_path / 'advised')
    there(run_there, 'advise', *given, '--out', tmp_path / 'advised-there', *DEVICE)
    terms = [
        Config.fromfile(tmp_path / folder / 'advised.py').model.terms
        for folder in ('advised', 'advised-there')
    ]
    assert terms[0] == terms[1]


def run_there(tool: str, *args: Any) -> None:
    """Run a tool whose models must lie on the device."""
    capture = Classifier.capture

    def checked(model: Classifier, images: list) -> Captured:
        assert {p.device.type for p in model.classifier.parameters()} == {NAME}
        return capture(model, images)

    with mock.patch.object(Classifier, 'capture', checked):
        run(tool, *args)


def numbers_of(node: object, path: str = '') -> Iterator[tuple[str, float]]:
    """List the numbers of what JSON holds, by their places."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from numbers_of(value, f'{path}/{key}')
    elif isinstance(node, int | float):
        yield path, float(node)
