"""A tiny COCO data set of real photographs, and detectors that fit it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.test_downstream.common import shrink_run

WIDTHS = {'deit-small': 16, 'deit-base': 24}
IMAGES = 4
SPLITS = ('train2017', 'val2017')


def coco(root: Path) -> Path:
    """Write two crops of each of two photographs with boxes and polygons."""
    from mmdet.datasets import CocoDataset  # not on every stack

    names = CocoDataset.METAINFO['classes']
    photographs = load_sample_images().images  # a pagoda and a flower, (427, 640, 3)
    images, annotations = [], []
    # by eye, in pixels of the photograph; COCO's classes have no pagoda
    things = [((68, 28, 348, 380), 'clock'), ((172, 86, 448, 358), 'potted plant')]
    for i in range(IMAGES):
        photograph, ((left, top, right, bottom), name) = (
            photographs[i % 2],
            things[i % 2],
        )
        x, y = 60 + 40 * (i // 2), 10 * (i // 2)  # the crop's corner
        crop = photograph[y : y + 400, x : x + 520]
        images.append(save_image(root, i, Image.fromarray(crop)))
        # an octagon within the box
        angles = np.arange(8) * np.pi / 4
        centre = np.array([(left + right) / 2 - x, (top + bottom) / 2 - y])
        radius = np.array([right - left, bottom - top]) / 2
        corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
        corners = corners.clip([0, 0], [520, 400])
        low, high = corners.min(0), corners.max(0)
        annotations.append(
            {
                'id': i + 1,
                'image_id': i,
                'category_id': names.index(name) + 1,
                'bbox': [*low.tolist(), *(high - low).tolist()],
                'segmentation': [corners.flatten().tolist()],
                'area': float(np.prod(high - low) * 0.7),
                'iscrowd': 0,
            }
        )
    categories = [{'id': i + 1, 'name': name} for i, name in enumerate(names)]
    labels = {'images': images, 'annotations': annotations, 'categories': categories}
    for split in SPLITS:
        write(root / 'annotations' / f'instances_{split}.json', labels)
    return root


def save_image(root: Path, number: int, image: Image.Image) -> dict[str, Any]:
    """Write an image into both splits; return what COCO's labels say about it."""
    file = f'{number:012d}.jpg'
    for split in SPLITS:
        (root / split).mkdir(parents=True, exist_ok=True)
        image.save(root / split / file)
    size = {'height': image.height, 'width': image.width}
    return {'id': number, 'file_name': file, **size}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def shrink(cfg: Config, folder: Path, data: Path) -> Config:
    """Return a small copy of a detector's config that trains for one step."""
    cfg = shrink_run(cfg, folder, data, shrink_model, shrink_loader)
    one_epoch(cfg, data / 'annotations' / 'instances_val2017.json')
    return cfg


def one_epoch(cfg: Config, labels: Path) -> None:
    """Let a COCO config train for one epoch, and be evaluated by a file of labels."""
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'].ann_file = str(labels)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler = [s for s in cfg.param_scheduler if not s.by_epoch]
    cfg.default_hooks.checkpoint.interval = 1


def shrink_model(model: ConfigDict) -> None:
    """Let a Mask R-CNN of 1024-pixel images be one of 128-pixel images."""
    backbone = model.backbone
    if backbone.type == 'mmvitkd.ViTDet':
        width = WIDTHS[backbone.arch]
        backbone.arch = {
            'embed_dims': width,
            'num_layers': 6,
            'num_heads': 2,
            'feedforward_channels': 2 * width,
        }
        backbone.img_size //= 8
        backbone.window_size = 4
        # 1024: one image; 224: whole windows
        large = model.data_preprocessor.pad_size_divisor == 1024
        model.data_preprocessor.pad_size_divisor = 128 if large else 64
        model.neck.update(in_channels=width, out_channels=16)
    else:
        backbone.arch = {
            'embed_dims': 16,
            'depths': [1, 1, 1, 1],
            'num_heads': [1, 1, 2, 2],
        }
        model.neck.update(in_channels=[16, 32, 64, 128], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    roi = model.roi_head
    roi.bbox_roi_extractor.out_channels = roi.mask_roi_extractor.out_channels = 16
    roi.bbox_head.update(in_channels=16, conv_out_channels=16, fc_out_channels=32)
    roi.mask_head.update(in_channels=16, conv_out_channels=16)
    # a detector this fresh is sure of nothing, but shall find something
    model.test_cfg.rcnn.score_thr = 0.0
    model.test_cfg.rcnn.max_per_img = 10


def shrink_loader(loader: ConfigDict, data: Path) -> None:
    """Let a dataloader give four small images, in this process."""
    loader.update(batch_size=IMAGES, num_workers=0, persistent_workers=False)
    dataset = loader.dataset
    if dataset.type == 'RepeatDataset':
        dataset.times = 1
        dataset = dataset.dataset
    dataset.data_root = str(data)
    for transform in dataset.pipeline:
        for key in ('scale', 'crop_size'):
            if key in transform:
                transform[key] = tuple(n // 8 for n in transform[key])
        if 'scales' in transform:
            transform.scales = [tuple(n // 8 for n in s) for s in transform.scales]
