"""Write scenes as COCO and as ADE20K do."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .scene import SIZE, Scene
from .sources import Source

# values of ADE20K's annotations: 0 is what nobody labelled, classes begin at 1
UNLABELLED, BACKGROUND, FIRST_CLASS = 0, 1, 2


def write_coco(scenes: list[Scene], root: Path, split: str, source: Source) -> None:
    """Write ``<split>2017/*.jpg`` and ``annotations/instances_<split>2017.json``."""
    folder = root / f'{split}2017'
    folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, 1):
        file = f'{number:012d}.jpg'
        save_jpeg(scene.image, folder / file)
        images.append(
            {
                'id': number,
                'file_name': file,
                'height': SIZE,
                'width': SIZE,
                'photograph': scene.photograph,
            }
        )
        for one in scene.instances:
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': one.label + 1,
                    'bbox': list(one.box),
                    'area': int(one.mask.sum()),
                    'segmentation': run_lengths(one.mask),
                    'iscrowd': 0,
                    source.key: one.image,
                }
            )
    categories = [
        {'id': i, 'name': name, 'supercategory': source.kind}
        for i, name in enumerate(source.classes, 1)
    ]
    data = {
        'info': {'description': source.title},
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }
    (root / 'annotations').mkdir(exist_ok=True)
    (root / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(data))


def write_ade(scenes: list[Scene], root: Path, split: str) -> None:
    """Write ``images/<training|validation>/*.jpg``, and ``annotations/`` with PNGs."""
    part = {'train': 'training', 'val': 'validation'}[split]
    images, annotations = (root / kind / part for kind in ('images', 'annotations'))
    for folder in (images, annotations):
        folder.mkdir(parents=True)
    for number, scene in enumerate(scenes, 1):
        stem = f'ADE_{split}_{number:08d}'
        save_jpeg(scene.image, images / f'{stem}.jpg')
        Image.fromarray(label_map(scene)).save(annotations / f'{stem}.png')


def label_map(scene: Scene) -> np.ndarray:
    """Label every pixel; return uint8 ``(SIZE, SIZE)`` as in ADE20K's files."""
    labels = np.full((SIZE, SIZE), BACKGROUND, np.uint8)
    labels[scene.rim] = UNLABELLED
    for one in scene.instances:
        labels[one.mask] = FIRST_CLASS + one.label
    return labels


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """Encode a mask ``(H, W)`` as COCO's run lengths; polygons have no holes."""
    # column by column, beginning with the number of pixels outside
    flat = mask.flatten(order='F').tolist()
    counts = [len(list(run)) for _, run in groupby(flat)]
    return {'counts': [0, *counts] if flat[0] else counts, 'size': list(mask.shape)}


def save_jpeg(image: np.ndarray, path: Path) -> None:
    """Save RGB without halved colours, which would fringe the small images."""
    Image.fromarray(image).save(path, quality=95, subsampling=0)
