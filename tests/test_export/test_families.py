"""Students of every family as files, against what MMPretrain predicts."""

import json

import onnxruntime
import pytest
import torch

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


def predict(path, rgb):
    """Ask ONNX Runtime; return the probabilities."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    (logits,) = session.run(['logits'], {'images': rgb.numpy()})
    return torch.from_numpy(logits).softmax(1), session


@pytest.mark.parametrize('name', FAMILIES)
def test_onnx_predicts_the_same_at_batches_that_were_not_traced(name, tmp_path):
    cfg, weights = saved(family(name, tmp_path), tmp_path)
    out, lines = export(weights, tmp_path / 'student.onnx', 'onnx', config=cfg)
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
