"""A folder of stored outputs, laid out without the package."""

import hashlib
import json
from pathlib import Path

import numpy as np

RECORD = np.dtype([('seed', '<u4'), ('0', '<f2', (3,))])
TAP = {
    'path': 'backbone.ln1', 'tokens': 'cls', 'grid': None, 'output': None,
    'shape': [3], 'hw': None, 'top_k': None,
}  # fmt: skip
# 2 epochs of 5 images in 3 shards
MANIFEST = {
    'format': 1,
    'epochs': 2,
    'teacher': {'weights': 'abc'},
    'normalisation': None,
    'data': {'images': 5},
    'taps': [TAP],
    'record_bytes': RECORD.itemsize,
    'batch_size': 1,
    'shard_size': 2,
    'versions': {'python': '3'},
}


def write_shard(file: Path, values: list[int]) -> None:
    """Store records with these seeds, and their checksum as sha256sum writes it."""
    records = np.zeros(len(values), RECORD)
    records['seed'] = values
    file.parent.mkdir(exist_ok=True)
    np.save(file, records)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_suffix('.sha256').write_text(f'{digest}  {file.name}\n')


def write_cache(folder: Path) -> Path:
    """Store records with the seeds ``10 * epoch + image``."""
    (folder / 'manifest.json').write_text(json.dumps(MANIFEST))
    for epoch in (0, 1):
        for shard, images in enumerate(([0, 1], [2, 3], [4])):
            file = folder / f'epoch_000{epoch}' / f'0000{shard}.npy'
            write_shard(file, [10 * epoch + image for image in images])
    return folder
