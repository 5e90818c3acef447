"""A small distillation whose outputs are stored, in this process."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmvitkd.utils.teacher_cache import checksum_file, sha256
from tests.helpers import MIMIC, NKD
from tests.test_tools.runs import PIPELINE, config, loader

CPU = torch.device('cpu')
IMAGES = 6
TERMS = {'mimic0': MIMIC, 'nkd': NKD}
MIXUP = {'augments': {'type': 'Mixup', 'alpha': 0.2}}


def settings(folder: Path, name: str = 'small', **changes: Any) -> Config:
    """Two epochs of six digits in batches of two, cropped and mixed."""
    crop = {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4}
    train = loader('train', [PIPELINE[0], crop, PIPELINE[1]], images=IMAGES)
    changes = {
        'model.terms': {'_delete_': True, **TERMS},
        'train_dataloader': {**train, 'batch_size': 2},
        'work_dir': 'x',
        'launcher': 'none',
        **changes,
    }
    return Config.fromfile(config(folder, name, **changes))


def stored(out: Path) -> np.ndarray:
    """All records, by epoch and image."""
    files = sorted(out.glob('epoch_*/*.npy'))
    return np.concatenate([np.load(file) for file in files]).reshape(2, IMAGES)


def rewrite(out: Path, change: Any) -> None:
    """Change all records; the checksums are made to match."""
    for file in out.glob('epoch_*/*.npy'):
        records = np.load(file)
        change(records)
        np.save(file, records)
        checksum_file(file).write_text(f'{sha256(file)}  {file.name}\n')
