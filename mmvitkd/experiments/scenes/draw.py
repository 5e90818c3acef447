"""What ``python -m mmvitkd draw-scenes`` does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from . import PROTOCOLS
from .formats import write_ade, write_coco
from .scene import Scene, draw_scene
from .sources import SOURCES

SUMMARY = 'scenes.json'
SPLITS = ('train', 'val')
# from which of the data set's splits their images are, and over which photographs;
# those of 'val' are from 'tuning' where they are to choose settings by
IMAGES = {'train': 'train', 'val': 'test', 'tuning': 'val'}
PHOTOGRAPHS = {
    'train': (
        *('astronaut', 'brick', 'camera', 'china', 'coffee', 'grass'),
        'stereo_motorcycle',
    ),
    'val': ('chelsea', 'flower', 'gravel', 'rocket'),
    'tuning': ('coins', 'hubble_deep_field', 'moon', 'page'),
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
            'the photographs behind the images come with scikit-image, which is not '
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


def draw(dataset: str, part: str, number: int, seed: int) -> list[Scene]:
    """Draw a part's scenes; each depends on its own number and the seed alone."""
    source = SOURCES[dataset]
    images = source.read(IMAGES[part])
    behind = photographs(PHOTOGRAPHS[part])
    stream = list(IMAGES).index(part)
    return [
        # the legacy generator's numbers never change
        draw_scene(
            np.random.RandomState([seed, stream, i]), behind, *images, source.paint
        )
        for i in range(number)
    ]


def read_summary(scenes: Path) -> dict[str, Any]:
    """Read what a data set is of; those of digits did not always say so."""
    summary = json.loads((scenes / SUMMARY).read_text())
    return {'dataset': 'digits', 'tuning': False, **summary}


def is_there(out: Path, settings: dict[str, Any]) -> bool:
    """Tell whether the folder holds this very data set.

    Raises:
        ValueError: If it holds anything else.
    """
    if (out / SUMMARY).is_file():
        held = read_summary(out)
        if {key: held.get(key) for key in settings} == settings:
            return True
        raise ValueError(
            f"'{out}' holds other scenes, of {held['dataset']} and seed "
            f'{held.get("seed")} with {held.get("train")} to train on and '
            f'{held.get("val")} to {"tune" if held["tuning"] else "validate"} on: '
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
    source = SOURCES[settings['dataset']]
    counts, behind = {}, {}
    for split in SPLITS:
        kind = 'tuning' if split == 'val' and settings['tuning'] else split
        scenes = draw(settings['dataset'], kind, settings[split], settings['seed'])
        write_coco(scenes, part / 'coco', split, source)
        write_ade(scenes, part / 'ade', split)
        counts[split] = sum(len(scene.instances) for scene in scenes)
        behind[split] = PHOTOGRAPHS[kind]
    summary = {**settings, f'{source.kind}s': counts, 'photographs': behind}
    (part / SUMMARY).write_text(json.dumps(summary, indent=1) + '\n')
    if out.exists():
        out.rmdir()
    os.replace(part, out)
    return summary


def draw_scenes(
    out: Path,
    dataset: str,
    seed: int,
    train: int | None,
    val: int | None,
    tuning: bool = False,
) -> None:
    """Draw the scenes, or tell that they are there.

    Args:
        out: Their folder, made if need be.
        dataset: Whose images are drawn, one of ``SOURCES``.
        seed: Of all that is random.
        train: Scenes to train on; None for as many as the data set wants.
        val: Scenes to validate on, the same.
        tuning: Whether these show validation images, over photographs of their own, to
            choose settings by. Defaults to False: test images.

    Raises:
        ValueError: If the folder holds anything else, or the images are missing.
        ImportError: If scikit-image is not installed.
    """
    source = SOURCES[dataset]
    settings = {
        'dataset': dataset,
        'seed': seed,
        'train': train or PROTOCOLS[dataset].train,
        'val': val or PROTOCOLS[dataset].val,
        'tuning': tuning,
    }
    if is_there(out, settings):
        print(f'{out}: these scenes are there already')
        return
    counts = write(out, settings)[f'{source.kind}s']
    for split in SPLITS:
        number = settings[split]
        print(f'{split}: {number} scenes with {counts[split]} {source.kind}s')
    print(out)
