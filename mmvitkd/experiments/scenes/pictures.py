"""Draw predictions beside the truth: a row a scene, a column a kind of weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from mmengine.fileio import load
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.ops import nms

from mmvitkd.inspection.style import save, style

from .formats import FIRST_CLASS
from .trainings import LABELS, TASKS, FineTuning

SCORE = 0.3  # of the detections that are drawn, at least
OVERLAP = 0.5  # of two boxes, at most; else the surer one is drawn
COLOURS = plt.get_cmap('tab10').colors  # type: ignore[attr-defined]  # of ten classes
TRUTH = 'truth'


def draw(task: str, runs: Sequence[FineTuning], stem: Path) -> bool:
    """Write ``stem.png`` from the first seed's runs of a task, if all are finished.

    Those of another machine, which a file of runs has, left their predictions there.
    """
    first = {run.init: run for run in runs if (run.task, run.seed) == (task, 0)}
    for run in first.values():
        if not (run.result() and (run.folder / TASKS[task].predictions).exists()):
            return False
    scenes = next(iter(first.values())).scenes
    read, paint = READERS[task], PAINTERS[task]
    columns = {TRUTH: read(None, scenes)}
    columns |= {LABELS[init]: read(run, scenes) for init, run in first.items()}
    chosen = one_of_each(scenes)
    names = class_names(scenes)
    size = (2 * len(columns), 2 * len(chosen) + 0.5)
    with style():
        figure, axes = plt.subplots(
            len(chosen), len(columns), figsize=size, squeeze=False
        )
        for row, (number, file) in zip(axes, chosen.items(), strict=True):
            image = np.array(Image.open(scenes / 'coco' / 'val2017' / file))
            for cell, found in zip(row, columns.values(), strict=True):
                cell.imshow(image)
                paint(cell, found[number], names)
                cell.axis('off')
        for cell, name in zip(axes[0], columns, strict=True):
            cell.set_title(name)
        legend = [Patch(color=COLOURS[i], label=name) for i, name in enumerate(names)]
        columns_of_it = 10 if max(map(len, names)) < 3 else 5
        figure.legend(handles=legend, loc='outside lower center', ncols=columns_of_it)
        save(figure, stem, ('png',))
    return True


def read_annotations(scenes: Path) -> dict[str, Any]:
    """Read the test scenes' COCO file."""
    file = scenes / 'coco' / 'annotations' / 'instances_val2017.json'
    return json.loads(file.read_text())


def class_names(scenes: Path) -> list[str]:
    """Read the names of the classes."""
    return [category['name'] for category in read_annotations(scenes)['categories']]


def one_of_each(scenes: Path) -> dict[int, str]:
    """Choose the first scene over each photograph: its number and file."""
    found: dict[str, dict[str, Any]] = {}
    for image in read_annotations(scenes)['images']:
        found.setdefault(image['photograph'], image)
    return {image['id']: image['file_name'] for image in found.values()}


# a label, a box (left, top, right, bottom), a mask (H, W), and a score if predicted
Instances = list[tuple[int, tuple[float, ...], np.ndarray, float | None]]


def read_instances(run: FineTuning | None, scenes: Path) -> dict[int, Instances]:
    """Read the predicted instances of every scene, or the true ones."""
    data = read_annotations(scenes)
    found: dict[int, Instances] = {image['id']: [] for image in data['images']}
    if run is None:
        for one in data['annotations']:
            x, y, width, height = one['bbox']
            rle = coco_mask.frPyObjects(
                one['segmentation'], *one['segmentation']['size']
            )
            box = (x, y, x + width, y + height)
            label = one['category_id'] - 1
            found[one['image_id']].append((label, box, coco_mask.decode(rle), None))
        return found
    for sample in load(run.folder / TASKS['detection'].predictions):
        instances = sample['pred_instances']
        boxes, scores = instances['bboxes'], instances['scores']
        # the detector itself suppresses within a class alone
        for i in nms(boxes, scores, OVERLAP).tolist():
            if scores[i] >= SCORE:
                label, mask = int(instances['labels'][i]), instances['masks'][i]
                box = tuple(boxes[i].tolist())
                one = (label, box, coco_mask.decode(mask), float(scores[i]))
                found[sample['img_id']].append(one)
    return found


def paint_instances(axes: Axes, instances: Instances, names: list[str]) -> None:
    """Paint boxes, masks and labels over a scene."""
    for label, (left, top, right, bottom), mask, score in instances:
        overlay = np.zeros((*mask.shape, 4))
        overlay[mask > 0] = (*COLOURS[label], 0.6)
        axes.imshow(overlay)
        axes.add_patch(
            Rectangle(
                (left - 0.5, top - 0.5),
                right - left,
                bottom - top,
                fill=False,
                color=COLOURS[label],
                lw=1.2,
            )
        )
        name = names[label]
        text = name if score is None else f'{name} {score:.2f}'
        axes.text(
            left,
            top,
            text,
            fontsize=6,
            color='white',
            va='bottom' if top > 8 else 'top',
            bbox=dict(facecolor=COLOURS[label], pad=0.8, lw=0),
        )


def read_maps(run: FineTuning | None, scenes: Path) -> dict[int, np.ndarray]:
    """Read the predicted label map of every scene ``(H, W)``, or the true ones."""
    folder = scenes / 'ade' / 'annotations' / 'validation'
    if run is not None:
        folder = run.folder / TASKS['segmentation'].predictions
    files = sorted(folder.glob('*.png'))
    return {int(file.stem[-8:]): np.array(Image.open(file)) for file in files}


def paint_map(axes: Axes, labels: np.ndarray, names: list[str]) -> None:
    """Paint the classes' pixels over a scene."""
    overlay = np.zeros((*labels.shape, 4))
    for label, colour in zip(range(len(names)), COLOURS, strict=True):
        overlay[labels == FIRST_CLASS + label] = (*colour, 0.85)
    axes.imshow(overlay)


READERS: dict[str, Any] = {'detection': read_instances, 'segmentation': read_maps}
PAINTERS: dict[str, Any] = {'detection': paint_instances, 'segmentation': paint_map}
