"""The script of ``docs/deployment.md`` gives the classes of ``test``, without torch."""

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.helpers import vit
from tests.test_export.students import saved
from tests.test_tools.runs import run

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'deployment.md'
# runs a script where none of these can be imported
WITHOUT = """
import runpy, sys
for name in 'torch torchvision mmengine mmcv mmpretrain mmvitkd cv2'.split():
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {
        'type': 'ResizeEdge',
        'scale': 41,
        'edge': 'short',
        'backend': 'pillow',
        'interpolation': 'bicubic',
    },
    {'type': 'CenterCrop', 'crop_size': 32},
    {'type': 'PackInputs'},
]
CLASSES = ('left', 'right', 'upside down', 'wide')


def draw(folder: Path) -> list[Path]:
    """Cut parts of many proportions out of photographs, a folder for each class."""
    photographs = load_sample_images().images
    generator = np.random.default_rng(0)
    files = []
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for i in range(10):
            y, x, h, w = generator.integers((0, 0, 50, 50), (200, 300, 200, 300))
            files.append(folder / name / f'{i}.png')
            Image.fromarray(photographs[i % 2][y : y + h, x : x + w]).save(files[-1])
    return files


def predict(cfg: Path, weights: Path, folder: Path) -> list[dict]:
    """Return what ``python -m mmvitkd test`` predicts."""
    run('test', cfg, weights, '--out', folder / 'predictions.pkl')
    with open(folder / 'predictions.pkl', 'rb') as file:
        return pickle.load(file)  # noqa: S301  written a line above


def test_the_script_gives_the_classes_of_test(tmp_path):
    files = draw(tmp_path / 'images' / 'test')
    shutil.copytree(tmp_path / 'images' / 'test', tmp_path / 'images' / 'train')
    dataset = {
        'type': 'mmvitkd.ImageFolder',
        'data_root': str(tmp_path / 'images'),
        'split': 'test',
        'num_classes': len(CLASSES),
        'pipeline': PIPELINE,
    }
    sampler = {'type': 'DefaultSampler', 'shuffle': False}
    loader = {'batch_size': 16, 'num_workers': 0, 'dataset': dataset}
    cfg, weights = saved(
        vit(classes=len(CLASSES)),
        tmp_path,
        test_dataloader={**loader, 'sampler': sampler},
        test_evaluator={'type': 'Accuracy', 'topk': 1},
        test_cfg={},
        work_dir=str(tmp_path / 'work_dir'),
    )
    # random weights like one class best: let them like all equally, on average
    scores = torch.stack([one['pred_score'] for one in predict(cfg, weights, tmp_path)])
    loaded = torch.load(weights)
    loaded['state_dict']['head.layers.head.bias'] -= scores.log().mean(0)
    torch.save(loaded, weights)
    labels = [int(one['pred_label']) for one in predict(cfg, weights, tmp_path)]
    assert len(set(labels)) > 1

    out = tmp_path / 'student.onnx'
    run('export_student', weights, out, '--format', 'onnx', '--config', cfg)
    script = tmp_path / 'classify.py'
    section = PAGE.read_text(encoding='utf-8').partition('## Without PyTorch')[2]
    script.write_text(re.search(r'```python\n(.*?)```', section, re.DOTALL)[1])
    assert len(script.read_text().splitlines()) <= 21
    command = [sys.executable, '-c', WITHOUT, script, out, *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = [line.split('\t') for line in done.stdout.splitlines()]
    assert said == [
        [str(file), CLASSES[label]] for file, label in zip(files, labels, strict=True)
    ]
