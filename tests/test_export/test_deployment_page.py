"""The script of ``docs/deployment.md`` gives the classes of ``test``, without torch."""

import os
import pickle
import re
import shutil
import subprocess
import venv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from packaging.requirements import Requirement
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.helpers import vit
from tests.test_export.students import saved
from tests.test_tools.runs import run

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'deployment.md'
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


def environment(folder: Path, names: list[str]) -> Path:
    """Make one of the packages and what they need; return its interpreter."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob('lib/python*/site-packages')
    wanted, taken = list(names), set()
    while wanted:
        package = distribution(wanted.pop())
        if package.name in taken:
            continue
        taken.add(package.name)
        for top in {file.parts[0] for file in package.files} - {'..', '__pycache__'}:
            if not (site / top).exists():
                (site / top).symlink_to(package.locate_file(top))
        needs = [Requirement(line) for line in package.requires or ()]
        markers = {'extra': ''}
        wanted += [
            need.name
            for need in needs
            if need.marker is None or need.marker.evaluate(markers)
        ]
    return folder / 'bin' / 'python'


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
    python = environment(tmp_path / 'venv', ['numpy', 'pillow', 'onnxruntime'])
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    torch_free = [python, '-c', 'import torch']
    done = subprocess.run(torch_free, capture_output=True, text=True, env=env)
    assert "No module named 'torch'" in done.stderr
    command = [python, script, out, *files]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    said = [line.split('\t') for line in done.stdout.splitlines()]
    assert said == [
        [str(file), CLASSES[label]] for file, label in zip(files, labels, strict=True)
    ]
