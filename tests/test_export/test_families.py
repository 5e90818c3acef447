"""Students of every family as files, against what MMPretrain predicts."""

import json
import re
from functools import cache
from pathlib import Path

import onnxruntime
import openvino
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_images

from mmvitkd.export.export import export
from tests.test_export.students import family, images, predicted, saved

FAMILIES = [
    'ViT',
    'distilled DeiT',
    'ours',
    'WideLast',
    'Lift',
    'CSKD',
    'VkD',
    'Swin',
    pytest.param('TinyViT', marks=pytest.mark.slow),
    'ResNet',
    'timm',
    'Hugging Face',
]

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'deployment.md'
IN_FLOAT32 = {'INFERENCE_PRECISION_HINT': 'f32'}


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """A function that makes a family's ONNX file, once, since that takes long."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp('student')
        cfg, weights = saved(family(name, folder), folder)
        out, lines = export(weights, folder / 'student.onnx', 'onnx', config=cfg)
        return cfg, weights, out, lines

    return make


def photographs(count):
    """Parts of two photographs, uint8 ``(count, 3, 32, 32)``."""
    both = [torch.from_numpy(image) for image in load_sample_images().images]
    parts = [both[i % 2][40 * i :, 60 * i :][:260, :260] for i in range(count)]
    x = torch.stack(parts).permute(0, 3, 1, 2).float()
    return F.interpolate(x, 32, mode='area').round().to(torch.uint8)


def predict(path, rgb):
    """Ask ONNX Runtime; return the probabilities."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    (logits,) = session.run(['logits'], {'images': rgb.numpy()})
    return torch.from_numpy(logits).softmax(1), session


@pytest.mark.parametrize('name', FAMILIES)
def test_onnx_predicts_the_same_at_batches_that_were_not_traced(name, exported):
    cfg, weights, out, lines = exported(name)
    size = {'TinyViT': 64, 'ResNet': 224}.get(name, 32)
    rgb = images(5, size)
    for count in (1, 5):
        found, session = predict(out, rgb[:count])
        wanted = predicted(cfg, weights, rgb[:count])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert session.get_inputs()[0].shape == ['batch', 3, size, size]
    assert session.get_inputs()[0].type == 'tensor(uint8)'
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told['mean']) == [120.0, 110.0, 100.0]
    assert json.loads(told['input_size']) == [size, size]
    assert 'in batches of 1 and 7' in lines[0]


@pytest.mark.parametrize('name', ['distilled DeiT', 'Swin'])
def test_openvino_predicts_the_same_at_batches_that_were_not_traced(name, exported):
    cfg, weights, out, _ = exported(name)
    model = openvino.compile_model(out, 'CPU', IN_FLOAT32)
    rgb = photographs(5)
    for count in (1, 5):
        found = torch.from_numpy(model(rgb[:count].numpy())[0]).softmax(1)
        wanted = predicted(cfg, weights, rgb[:count])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_the_page_says_of_openvino_runs(exported, monkeypatch):
    cfg, weights, out, _ = exported('ViT')
    section = PAGE.read_text(encoding='utf-8').partition('**OpenVINO**')[2]
    code = re.search(r'```python\n(.*?)```', section, re.DOTALL)[1]
    monkeypatch.chdir(out.parent)
    rgb = photographs(3)
    told = {'images': rgb.numpy()}
    exec(code, told)
    found = torch.from_numpy(told['logits']).softmax(1)
    torch.testing.assert_close(
        found, predicted(cfg, weights, rgb), rtol=1e-4, atol=1e-5
    )
    assert (out.parent / 'student.xml').is_file()


@pytest.mark.parametrize('name', ['ViT', 'Swin'])
def test_torch_export_and_safetensors(name, tmp_path):
    cfg, weights = saved(family(name, tmp_path), tmp_path)
    rgb = images(5, 32)
    wanted = predicted(cfg, weights, rgb)
    out, _ = export(weights, tmp_path / 'student.pt2', 'torch-export', config=cfg)
    told = {'metadata.json': ''}
    program = torch.export.load(out, extra_files=told).module()
    assert json.loads(told['metadata.json'])['normalisation'] == 'inside'
    for count in (1, 5):
        found = program(rgb[:count]).softmax(1)
        torch.testing.assert_close(found, wanted[:count], rtol=1e-4, atol=1e-6)

    out = tmp_path / 'student.safetensors'
    export(weights, out, 'safetensors', config=cfg)
    assert torch.equal(predicted_from(cfg, out, tmp_path, rgb), wanted)


def predicted_from(cfg, file, folder, rgb):
    """What the weights in a file of safetensors predict."""
    from safetensors.torch import load_file

    torch.save({'state_dict': load_file(file)}, folder / 'read.pth')
    return predicted(cfg, folder / 'read.pth', rgb)
