"""A tiny COCO keypoints data set of figures in photographs, and estimators for it."""

from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

from tests.shrink import arch_settings
from tests.test_downstream.coco import SPLITS, one_epoch, save_image, write
from tests.test_downstream.common import shrink_run

FILES = {split: f'annotations/person_keypoints_{split}.json' for split in SPLITS}
DETECTED = 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'
IMAGES = 3
SHORTER = 4  # the models' images, 256x192, by this factor

# COCO's keypoints of a figure seen from the front, in a box of width and height 1
JOINTS = np.array([
    (0.50, 0.10), (0.54, 0.08), (0.46, 0.08), (0.58, 0.10), (0.42, 0.10),  # the head
    (0.70, 0.25), (0.30, 0.25), (0.85, 0.40), (0.20, 0.42),  # shoulders, elbows
    (0.95, 0.55), (0.05, 0.50), (0.62, 0.55), (0.38, 0.55),  # wrists, hips
    (0.65, 0.75), (0.35, 0.75), (0.68, 0.95), (0.30, 0.97),  # knees, ankles
])  # fmt: skip


def coco_keypoints(root: Path) -> Path:
    """Write crops of two photographs, each with two drawn figures, as COCO has them.

    Beside the annotations of persons there are those detected in the validation
    images, a little off, with one thing that is no person.
    """
    from mmpose.datasets import CocoDataset  # not on every stack
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    names = parse_pose_metainfo(CocoDataset.METAINFO)
    skeleton = names['skeleton_links']
    photographs = load_sample_images().images  # (427, 640, 3) each
    images, annotations, detected = [], [], []
    for i in range(IMAGES):
        corner = 40 * i
        crop = Image.fromarray(photographs[i % 2][10:410, corner : corner + 520])
        draw = ImageDraw.Draw(crop)
        for j in range(2):
            left, top = 30 + 240 * j + 15 * i, 20 + 40 * j
            size = np.array([140 + 20 * i, 300 - 40 * j])
            joints = np.array([left, top]) + JOINTS * size
            for one, other in skeleton:
                draw.line([*joints[one], *joints[other]], 'white', width=8)
            visible = np.full((17, 1), 2)
            visible[3 + j] = 0  # an ear that is not labelled
            keypoints = np.where(visible > 0, np.hstack([joints.round(), visible]), 0)
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': i,
                    'category_id': 1,
                    'bbox': [left, top, *size.tolist()],
                    'keypoints': keypoints.flatten().astype(int).tolist(),
                    'num_keypoints': 16,
                    'segmentation': [],
                    'area': float(size.prod() * 0.5),
                    'iscrowd': 0,
                }
            )
            box = [left - 3, top + 2, *(size * 1.02).tolist()]
            detected.append(detection(i, 1, box, 0.9 - 0.2 * j))
        detected.append(detection(i, 64, [5, 5, 100, 100], 0.8))
        images.append(save_image(root, i, crop))
    category = {
        'id': 1,
        'name': 'person',
        'supercategory': 'person',
        'keypoints': [names['keypoint_id2name'][k] for k in range(17)],
        'skeleton': [[one + 1, other + 1] for one, other in skeleton],
    }
    write(root / DETECTED, detected)
    labels = {'images': images, 'annotations': annotations, 'categories': [category]}
    for file in FILES.values():
        write(root / file, labels)
    return root


def detection(image: int, category: int, box: list[float], score: float) -> dict:
    return {'image_id': image, 'category_id': category, 'bbox': box, 'score': score}


def shrink(cfg: Config, folder: Path, data: Path) -> Config:
    """Return a small copy of an estimator's config that trains for one step."""
    cfg = shrink_run(cfg, folder, data, shrink_model, shrink_loader)
    one_epoch(cfg, data / FILES['val2017'])
    return cfg


def shrink_model(model: ConfigDict) -> None:
    """Narrow a ViTPose, for images of 64x48; heads and layers stay as many."""
    backbone = model.backbone
    arch = arch_settings(backbone)
    width = 4 * arch['num_heads']
    backbone.arch = {**arch, 'embed_dims': width, 'feedforward_channels': 2 * width}
    backbone.img_size = tuple(side // SHORTER for side in backbone.img_size)
    model.head.update(in_channels=width, deconv_out_channels=(16, 16))
    shrink_codec(model.head.decoder)


def shrink_codec(codec: ConfigDict) -> None:
    for key in ('input_size', 'heatmap_size'):
        codec[key] = tuple(side // SHORTER for side in codec[key])


def shrink_loader(loader: ConfigDict, data: Path) -> None:
    """Let a dataloader give all persons at once, in this process."""
    loader.update(batch_size=2 * IMAGES, num_workers=0, persistent_workers=False)
    dataset = loader.dataset
    dataset.data_root = str(data)
    if 'bbox_file' in dataset:
        dataset.bbox_file = str(data / DETECTED)
    for transform in dataset.pipeline:
        if 'input_size' in transform:
            transform.input_size = tuple(n // SHORTER for n in transform.input_size)
        if 'encoder' in transform:
            shrink_codec(transform.encoder)
