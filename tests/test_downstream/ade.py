"""A tiny ADE20K data set of real photographs, and segmentors that fit it."""

from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from PIL import Image
from sklearn.datasets import load_sample_images

from tests.test_downstream.common import shrink_run

IMAGES = 4
SIZE = 64  # where the configs have 512
WIDTHS = {'deit-small': 16, 'deit-base': 24}
# the archive's numbers: 0 is what no class covers
OTHER, BUILDING, SKY, PLANT, FLOWER = 0, 2, 3, 18, 67


def ade(root: Path) -> Path:
    """Write two crops of each of two photographs, with a label map each."""
    # a pagoda and a flower, (427, 640, 3), at half their size
    photographs = [image[::2, ::2] for image in load_sample_images().images]
    labels = [label[::2, ::2] for label in (pagoda(), flower())]
    for split, short in (('training', 'train'), ('validation', 'val')):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for i in range(IMAGES):
            x, y = 30 + 20 * (i // 2), 5 * (i // 2)  # the crop's corner
            name = f'ADE_{short}_{i + 1:08d}'
            image, label = (
                Image.fromarray(pixels[i % 2][y : y + 200, x : x + 260])
                for pixels in (photographs, labels)
            )
            image.save(root / 'images' / split / f'{name}.jpg')
            label.save(root / 'annotations' / split / f'{name}.png')
    return root


def pagoda() -> np.ndarray:
    """Label the photograph of a pagoda, by eye."""
    label = np.full((427, 640), OTHER, np.uint8)
    label[:250] = SKY
    label[28:380, 68:348] = BUILDING
    return label


def flower() -> np.ndarray:
    """Label the photograph of a flower, by eye."""
    label = np.full((427, 640), PLANT, np.uint8)
    label[86:358, 172:448] = FLOWER
    label[:, 600:] = OTHER
    return label


def shrink(cfg: Config, folder: Path, data: Path) -> Config:
    """Return a small copy of a segmentor's config that trains for two steps."""
    cfg = shrink_run(cfg, folder, data, shrink_model, shrink_loader)
    two_steps(cfg)
    return cfg


def two_steps(cfg: Config) -> None:
    """Let a segmentor's config train for two steps, and be evaluated."""
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    warmup, decay = cfg.param_scheduler
    warmup.end = decay.begin = 2  # the second step has the whole rate


def shrink_model(model: ConfigDict) -> None:
    """Let a UPerNet of 512-pixel images be one of 64-pixel images."""
    width = WIDTHS[model.backbone.arch]
    model.backbone.arch = {
        'embed_dims': width,
        'num_layers': 12,
        'num_heads': 2,
        'feedforward_channels': 2 * width,
    }
    model.backbone.img_size = SIZE
    model.data_preprocessor.size = (SIZE, SIZE)
    model.neck.update(in_channels=[width] * 4, out_channels=width)
    model.decode_head.update(in_channels=[width] * 4, channels=16)
    model.auxiliary_head.update(in_channels=width, channels=16)


def shrink_loader(loader: ConfigDict, data: Path) -> None:
    """Let a dataloader give small images, in this process."""
    loader.update(num_workers=0, persistent_workers=False)
    # a list as short as this is quicker as it is
    loader.dataset.update(data_root=str(data), serialize_data=False)
    for transform in loader.dataset.pipeline:
        for key in ('scale', 'crop_size'):
            if key in transform:
                transform[key] = tuple(n * SIZE // 512 for n in transform[key])
