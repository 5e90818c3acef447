"""What ``python -m mmvitkd draw-scenes`` does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mmvitkd.datasets import Digits
from mmvitkd.datasets.digits import load_scans

from .formats import write_ade, write_coco
from .scene import Scene, draw_scene

SUMMARY = 'scenes.json'
# which of the digits' splits the scans of each split are from
SCANS = {'train': 'train', 'val': 'test'}
PHOTOGRAPHS = {
    'train': (
        *('astronaut', 'brick', 'camera', 'china', 'coffee', 'grass'),
        'stereo_motorcycle',
    ),
    'val': ('chelsea', 'flower', 'gravel', 'rocket'),
}
FROM_SKLEARN = ('china', 'flower')


def photographs(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read photographs that come with the packages.

    Returns:
        RGB, uint8 ``(H, W, 3)``, by name.

    Raises:
        ImportError: If scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            'the photographs behind the digits come with scikit-image, which is not '
            "installed: run 'pip install scikit-image'"
        ) from error
    from sklearn.datasets import load_sample_image

    found = {}
    for name in names:
        if name in FROM_SKLEARN:
            image = load_sample_image(f'{name}.jpg')
        else:
            image = getattr(data, name)()
        if isinstance(image, tuple):  # of a stereo pair, with its disparity
            image = image[0]
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        found[name] = image
    return found


def draw(split: str, number: int, seed: int) -> list[Scene]:
    """Draw a split's scenes; each depends on its own number and the seed alone."""
    scans, labels = load_scans()
    dataset = Digits(split=SCANS[split])
    choice = [dataset.get_data_info(i)['scan_index'] for i in range(len(dataset))]
    behind = photographs(PHOTOGRAPHS[split])
    stream = list(SCANS).index(split)
    return [
        # the legacy generator's numbers never change
        draw_scene(
            np.random.RandomState([seed, stream, i]), behind, scans, labels, choice
        )
        for i in range(number)
    ]


def is_there(out: Path, settings: dict[str, Any]) -> bool:
    """Tell whether the folder holds this very data set.

    Raises:
        ValueError: If it holds anything else.
    """
    summary = out / SUMMARY
    if summary.is_file():
        held = json.loads(summary.read_text())
        if {key: held.get(key) for key in settings} == settings:
            return True
        raise ValueError(
            f"'{out}' holds other scenes, of seed {held.get('seed')} with "
            f'{held.get("train")} to train on and {held.get("val")} to validate on: '
            'give another folder, or remove that one'
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"'{out}' holds something else, which is left alone: give a new folder"
        )
    return False


def write(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Write the data set; nothing is left of one that is interrupted.

    Returns:
        What is written into the summary.
    """
    part = out.with_name(f'{out.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    digits = {}
    for split in SCANS:
        scenes = draw(split, settings[split], settings['seed'])
        write_coco(scenes, part / 'coco', split)
        write_ade(scenes, part / 'ade', split)
        digits[split] = sum(len(scene.digits) for scene in scenes)
    summary = {**settings, 'digits': digits, 'photographs': PHOTOGRAPHS}
    (part / SUMMARY).write_text(json.dumps(summary, indent=1) + '\n')
    if out.exists():
        out.rmdir()
    os.replace(part, out)
    return summary


def draw_scenes(out: Path, seed: int, train: int, val: int) -> None:
    """Draw the data set, or tell that it is there.

    Args:
        out: Its folder, made if need be.
        seed: Of all that is random.
        train: Scenes to train on.
        val: Scenes to validate on.

    Raises:
        ValueError: If the folder holds anything else.
        ImportError: If scikit-image is not installed.
    """
    settings = {'seed': seed, 'train': train, 'val': val}
    if is_there(out, settings):
        print(f'{out}: these scenes are there already')
        return
    digits = write(out, settings)['digits']
    for split in SCANS:
        print(f'{split}: {settings[split]} scenes with {digits[split]} digits')
    print(out)
