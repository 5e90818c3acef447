"""ONNX files in OpenVINO, against what MMPretrain predicts of real images."""

import re
from pathlib import Path

import openvino
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_images

from mmvitkd.export.export import export
from tests.test_export.students import family, predicted, saved

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'deployment.md'
IN_FLOAT32 = {'INFERENCE_PRECISION_HINT': 'f32'}


def photographs(count):
    """Parts of two photographs, uint8 ``(count, 3, 32, 32)``."""
    both = [torch.from_numpy(image) for image in load_sample_images().images]
    parts = [both[i % 2][40 * i :, 60 * i :][:260, :260] for i in range(count)]
    x = torch.stack(parts).permute(0, 3, 1, 2).float()
    return F.interpolate(x, 32, mode='area').round().to(torch.uint8)


def exported(name, folder):
    cfg, weights = saved(family(name, folder), folder)
    out, _ = export(weights, folder / 'student.onnx', 'onnx', config=cfg)
    return cfg, weights, out


@pytest.mark.parametrize('name', ['distilled DeiT', 'Swin'])
def test_openvino_predicts_the_same_at_batches_that_were_not_traced(name, tmp_path):
    cfg, weights, out = exported(name, tmp_path)
    model = openvino.compile_model(out, 'CPU', IN_FLOAT32)
    images = photographs(5)
    for count in (1, 5):
        found = torch.from_numpy(model(images[:count].numpy())[0]).softmax(1)
        wanted = predicted(cfg, weights, images[:count])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_the_page_says_runs(tmp_path, monkeypatch):
    cfg, weights, _ = exported('ViT', tmp_path)
    section = PAGE.read_text(encoding='utf-8').partition('**OpenVINO**')[2]
    code = re.search(r'```python\n(.*?)```', section, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    images = photographs(3)
    told = {'images': images.numpy()}
    exec(code, told)
    found = torch.from_numpy(told['logits']).softmax(1)
    wanted = predicted(cfg, weights, images)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert (tmp_path / 'student.xml').is_file()
