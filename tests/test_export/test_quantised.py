"""Students that are quantised in training, and their INT8 files."""

import re
import sys
from copy import deepcopy
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from onnx import TensorProto
from torch import nn

from mmvitkd.export.export import export
from mmvitkd.export.quantised import IntegerLayer
from mmvitkd.models.classifiers.fake_quantisation import (
    FakeQuantisedConv2d,
    fake_quantised,
    quantise_layers,
)
from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import export_student, take_student
from mmvitkd.utils.quantisers import is_quantiser
from tests.helpers import build, save_weights, vit
from tests.test_tools.kill_hook import Interrupted
from tests.test_tools.runs import config, message, run

EPOCHS = 4
KD = {'student': 'head', 'teacher': 'head', 'loss': {'type': 'KDLoss'}}


def quantised(folder: Path, name: str = 'tiny', **changes) -> Path:
    """Write a config of a student that is quantised and begins with weights."""
    weights = save_weights(vit(), folder / 'float.pth')
    settings = {
        'model.quantisation': {},
        'model.terms.kd': KD,
        'model.student.init_cfg': {'type': 'Pretrained', 'checkpoint': str(weights)},
        'train_cfg.max_epochs': EPOCHS,
    }
    return config(folder, name, **(settings | changes))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config, work dir and runner of a run."""
    folder = tmp_path_factory.mktemp('quantised')
    cfg = quantised(folder)
    runner = run('train', cfg, '--work-dir', folder / 'run')
    return cfg, folder / 'run', runner


def state(work_dir):
    return load_checkpoint(work_dir / f'epoch_{EPOCHS}.pth')['state_dict']


def test_every_layer_is_quantised_and_taps_fire(trained):
    """Features of the blocks were mimicked meanwhile."""
    _, work_dir, runner = trained
    layers = fake_quantised(runner.model)
    assert len(layers) == 1 + 3 * 4 + 1
    first = next(iter(layers.values()))
    assert isinstance(first, FakeQuantisedConv2d)
    for layer in layers.values():
        values = layer.rounded_weight() / layer.weight_scale().view(
            -1, *[1] * (layer.weight.ndim - 1)
        )
        assert torch.allclose(values, values.round(), atol=1e-3)
        assert values.abs().max().round() == 127
        x = torch.randn(3, 7)
        assert len(layer.input_quantiser(x).unique()) <= 256
    for term in ('mimic0', 'gen', 'nkd', 'kd'):
        assert runner.message_hub.get_scalar(f'train/loss_{term}').current() > 0
    begun = load_checkpoint(work_dir.parent / 'float.pth')['state_dict']
    now = state(work_dir)
    name = 'backbone.layers.0.attn.qkv.weight'
    assert not torch.equal(begun[name], now[f'student.{name}'])


def test_ranges_are_frozen_and_evaluation_does_not_move_them(trained):
    *_, runner = trained
    layers = fake_quantised(runner.model).values()
    assert all(layer.frozen for layer in layers)
    runner.model.eval()
    layer = deepcopy(next(iter(layers)))
    layer.frozen = False
    before = layer.input_quantiser.scale.clone()
    layer(torch.full((1, 3, 32, 32), 1e3))
    assert torch.equal(layer.input_quantiser.scale, before)
    layer.train()
    layer(torch.full((1, 3, 32, 32), 1e3))
    assert layer.input_quantiser.scale > before


def test_a_resumed_run_ends_alike(trained, tmp_path):
    """Before the ranges are frozen, which it does by itself."""
    _, work_dir, _ = trained
    cfg = quantised(tmp_path, 'again', **{'train_cfg.max_epochs': EPOCHS})
    first = tmp_path / 'run'
    with pytest.raises(Interrupted):
        run('train', cfg, '--work-dir', first, RAISE_BEFORE_ITER='8')
    run('train', cfg, '--work-dir', first, '--resume')
    ends = state(work_dir), state(first)
    assert any(map(is_quantiser, ends[0]))
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name


def test_int8_file_predicts_what_was_trained(trained, tmp_path):
    cfg, work_dir, runner = trained
    checkpoint = work_dir / f'epoch_{EPOCHS}.pth'
    out, lines = export(checkpoint, tmp_path / 's.onnx', 'onnx', calibration_images=1)
    assert 'by the ranges of its training' in lines[-2]
    model = onnx.load(out)
    stored = [i for i in model.graph.initializer if len(i.dims) > 1]
    assert sum(i.data_type == TensorProto.UINT8 for i in stored) == 14
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    (found,) = session.run(None, {'images': images.numpy()})
    model = runner.model.eval()
    inputs = model.data_preprocessor({'inputs': images.float()})['inputs']
    wanted = model(inputs).detach()
    assert torch.tensor(found).sub(wanted).abs().max() < 0.05 * wanted.abs().max()
    tested = run('test', cfg, checkpoint, '--work-dir', tmp_path / 'test')
    top1 = tested.message_hub.get_scalar('test/accuracy/top1').current()
    assert f'{top1:.2f} in PyTorch' in lines[-1]
    in_file = float(re.search(r'([\d.]+) in INT8', lines[-1])[1])
    assert in_file == pytest.approx(top1, abs=100 / 64 + 0.01)


def test_the_largest_products_do_not_overflow(tmp_path):
    """As those of signed weights do where a processor adds them in 16 bits."""
    layer = nn.Linear(64, 8, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    model = nn.Sequential(nn.Identity(), layer, nn.Identity())
    quantise_layers(model)
    images = torch.rand(4, 64)
    images[0] = 1  # 255 times 127, 64 times
    model.train()(images)
    wanted = model.eval()(images).detach()
    path = tmp_path / 'layer.onnx'
    integers = IntegerLayer(fake_quantised(model)['1'], signed=False).eval()
    torch.onnx.export(integers, (images,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    (found,) = session.run(None, {name: images.numpy()})
    assert torch.tensor(found).sub(wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_in_float_it_is_an_ordinary_student(trained, tmp_path):
    cfg, work_dir, _ = trained
    checkpoint = work_dir / f'epoch_{EPOCHS}.pth'
    out = export_student(checkpoint, tmp_path / 's.pth', config=cfg)
    weights = load_checkpoint(out)['state_dict']
    assert weights.keys() == build(vit()).state_dict().keys()
    assert not any(map(is_quantiser, take_student(load_checkpoint(checkpoint), 'it')))


def test_fewer_bits_leave_the_ends_at_eight():
    model = build(vit())
    quantise_layers(model, weight_bits=4)
    bits = [layer.weight_bits for layer in fake_quantised(model).values()]
    assert bits == [8] + 12 * [4] + [8]
    layer = list(fake_quantised(model).values())[1]
    steps = layer.rounded_weight() / layer.weight_scale()[:, None]
    assert steps.round().unique().tolist() == list(range(-7, 8))


def test_before_training_inputs_pass():
    """The dry run sees what the layers were trained to see."""
    model = build(vit()).eval()
    x = torch.randn(2, 3, 32, 32)
    before = model(x)
    quantise_layers(model)
    layer = next(iter(fake_quantised(model).values()))
    assert torch.equal(layer.rounded_input(x), x)
    assert torch.allclose(model(x), before, atol=0.05 * float(before.abs().max()))


def test_float16_is_refused():
    model = build(vit())
    quantise_layers(model)
    with pytest.raises(ConfigError, match='torch.float16 can not stand in for'):
        model.half()(torch.zeros(1, 3, 32, 32).half())


def test_a_student_with_batch_norm_is_refused():
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
    with pytest.raises(ConfigError, match="has a BatchNorm, '1'"):
        quantise_layers(nn.Sequential(*layers))


@pytest.mark.parametrize('bits', [1, 9, 4.0, True])
def test_other_bits_are_refused(bits):
    with pytest.raises(ConfigError, match='weight_bits'):
        quantise_layers(build(vit()), bits)


def test_without_torchao_it_says_how_to_get_it(monkeypatch):
    for name in ('torchao', 'torchao.quantization', 'torchao.quantization.pt2e'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"'mmvitkd\[quantisation\]'"):
        quantise_layers(build(vit()))


def test_it_does_not_begin_with_random_weights(tmp_path):
    cfg = quantised(tmp_path, **{'model.student.init_cfg': None})
    said = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert 'the student has no weights to begin with' in said


def test_a_checkpoint_of_float_is_no_int8(tmp_path):
    cfg = quantised(tmp_path)
    whole = Config.fromfile(cfg)
    checkpoint = tmp_path / 'student.pth'
    weights = load_checkpoint(tmp_path / 'float.pth')['state_dict']
    named = {f'student.{name}': value for name, value in weights.items()}
    torch.save({'state_dict': named, 'meta': {'cfg': whole.pretty_text}}, checkpoint)
    with pytest.raises(ConfigError, match='was not trained with model.quantisation'):
        export(checkpoint, tmp_path / 's.onnx', 'onnx', calibration_images=1)
    assert not (tmp_path / 's.onnx').exists()
