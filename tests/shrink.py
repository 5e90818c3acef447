"""Shrinks any config of the tree until a training run of it takes seconds.

Widths, depths, image sizes and numbers of images become small; what the config says
about terms, augmentation, optimiser and hooks stays as it is. Nothing is downloaded:
checkpoints are replaced by files of random weights of the shrunken models, and
image folders by a few real images. A teacher's checkpoint or an image folder that
exists is kept.
"""

import copy
import gzip
import tarfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from mmvitkd.registry import MODELS
from tests.helpers import save_weights

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
# what `train` takes; tables are for `ablate`, methods for `compare`, tries for `tune`
OTHERS = {
    '_base_',
    'ablations',
    'claims',
    'comparison',
    'detection',
    'downstream',
    'pose',
    'segmentation',
    'tuning',
}
RUNNABLE = [
    path
    for path in sorted(CONFIGS.rglob('*.py'))
    if not OTHERS & set(path.relative_to(CONFIGS).parts)
]
# one of each method and data set; the others are of other sizes, and slow together
FIRST = [*{(p.parent, p.stem.rpartition('_')[2]): p for p in RUNNABLE[::-1]}.values()]
IMAGE_SIZE = 64
BATCH_SIZE = 4
IMAGES = 8  # of each split
NEIGHBOURS = 3


def shrink(cfg: Config, folder: Path) -> Config:
    """Return a small copy of a config that trains for one epoch of two steps.

    Args:
        cfg: A whole config, as ``Config.fromfile`` returns it.
        folder: An empty folder for weights, images and the run's ``work_dir``.
    """
    cfg = copy.deepcopy(cfg)
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':  # which needs a GPU
        for key in ('type', 'dtype'):
            cfg.optim_wrapper.pop(key)
    shrink_model(cfg.model, folder)
    for split in ('train', 'val', 'test'):
        if cfg.get(f'{split}_dataloader'):
            shrink_loader(cfg[f'{split}_dataloader'], folder)
    cfg.work_dir = str(folder / 'work_dir')
    shrink_schedule(cfg)
    cfg.experiment_name = uuid.uuid4().hex
    return cfg


def shrink_model(model: ConfigDict, folder: Path) -> None:
    """Shrink a classifier, or a distiller's student and teachers, in place."""
    if 'student' in model:
        shrink_model(model.student, folder)
        for term in (model.get('terms') or {}).values():
            if term and 'out_channels' in (term.get('neck') or {}):  # of an inner stage
                term.neck.update(out_channels=term.neck.out_channels // 8)
                term.neck.queries = (IMAGE_SIZE // 16, IMAGE_SIZE // 16)
        named = model.get('teachers') or {'teacher': model.teacher}
        for name, teacher in named.items():
            shrink_teacher(teacher, folder, name)
        return
    backbone = model.backbone
    width = BACKBONES[backbone.type.rpartition('.')[2]](backbone)
    if 'in_channels' in (model.get('head') or ()):
        model.head.in_channels = width
    if 'lift_channels' in (model.get('head') or ()):  # as wide as the teacher
        model.head.lift_channels //= 8
    for part, prefix in ((model, ''), (backbone, 'backbone.')):
        init = part.get('init_cfg')
        kind = init['type'] if isinstance(init, dict) else None
        if kind in ('Pretrained', 'mmvitkd.StrictPretrained'):
            plain = copy.deepcopy(model)
            plain.pop('init_cfg', None)
            plain.backbone.pop('init_cfg', None)
            path = folder / f'pretrained_{width}.pth'
            whole = None if kind == 'Pretrained' else ''
            init.update(
                checkpoint=str(save_weights(plain, path)), prefix=prefix or whole
            )


def shrink_teacher(teacher: ConfigDict, folder: Path, name: str) -> None:
    """Shrink a teacher in place, and give it random weights that fit."""
    if 'checkpoint' in teacher and Path(teacher.checkpoint).is_file():
        return
    whole = teacher_config(teacher.cfg)
    if whole.model.type == 'TimmClassifier':
        shrink_timm(whole.model)
    else:
        shrink_model(whole.model, folder)
    keep = {k: whole[k] for k in ('model', 'data_preprocessor') if k in whole}
    teacher.cfg = ConfigDict(keep)
    plain = copy.deepcopy(whole.model)
    plain.pop('train_cfg', None)
    plain.get('backbone', {}).pop('init_cfg', None)
    plain.pop('_scope_', None)  # ours, as the distiller builds it
    teacher.checkpoint = str(save_weights(plain, folder / f'{name}.pth'))
    teacher.pop('prefix', None)


def teacher_config(cfg: Any) -> ConfigDict:
    """Read a teacher's config; one that a run would dump is found by its name."""
    if isinstance(cfg, str) and '::' in cfg:
        whole = get_config(cfg)
    elif isinstance(cfg, str):
        path = Path(cfg)
        if not path.is_file():
            (path,) = CONFIGS.rglob(path.name)
        whole = Config.fromfile(path)
    else:
        whole = cfg if 'model' in cfg else {'model': cfg}
    return ConfigDict(whole.to_dict() if isinstance(whole, Config) else whole)


def shrink_vit(backbone: ConfigDict) -> int:
    """Shrink a ViT, DeiT or DeiT III, all but its depth; return its width."""
    arch = arch_settings(backbone)
    width = max(8, arch['embed_dims'] // 8)
    backbone.arch = {
        'embed_dims': width,
        'num_layers': arch['num_layers'],
        'num_heads': 2,
        'feedforward_channels': 2 * width,
    }
    if backbone.get('img_size', 224) > IMAGE_SIZE:
        backbone.img_size = 4 * backbone.get('patch_size', 16)
    return width


def shrink_sliced(backbone: ConfigDict) -> int:
    """Shrink a ViT that has lost a head and units, as little as can be."""
    width = shrink_vit(backbone)
    layers = backbone.arch['num_layers']
    backbone.value_dims = [[width // 2 - 1]] * layers
    backbone.layer_cfgs = [{'feedforward_channels': width}] * layers
    return width


def shrink_wide_last(backbone: ConfigDict) -> int:
    """Shrink a ViT with a last layer as wide as its teacher; return that width."""
    shrink_vit(backbone)
    backbone.update(last_dims=backbone.last_dims // 8, last_heads=2)
    return backbone.last_dims


def shrink_cross_bias(backbone: ConfigDict) -> int:
    """Shrink a ViT with two stems; return its width."""
    backbone.stem_channels = 32
    return shrink_vit(backbone)


def shrink_swin(backbone: ConfigDict) -> int:
    """Shrink a Swin, all but its depths; return its last width."""
    arch = arch_settings(backbone)
    width = arch['embed_dims'] // 8
    backbone.arch = {
        'embed_dims': width,
        'depths': arch['depths'],
        'num_heads': [2, 2, 2, 2],
    }
    backbone.img_size = IMAGE_SIZE
    backbone.window_size = 2  # the last grid is 2x2
    backbone.pop('stage_cfgs', None)  # windows of another size
    return 8 * width


def shrink_t2t(backbone: ConfigDict) -> int:
    """Shrink a T2T-ViT, all but its depth; return its width."""
    backbone.update(embed_dims=96, img_size=IMAGE_SIZE)
    backbone.t2t_cfg.token_dims = 4  # so that most multiply-adds are the blocks'
    backbone.layer_cfgs.update(num_heads=2, feedforward_channels=192)
    return 96


def shrink_tinyvit(backbone: ConfigDict) -> int:
    """Shrink a TinyViT, its depths too; return its last width."""
    backbone.arch = {
        'channels': [16, 16, 32, 32],
        'num_heads': [1, 1, 2, 2],
        'depths': [1, 1, 2, 1],
    }
    backbone.img_size = (IMAGE_SIZE, IMAGE_SIZE)
    backbone.window_size = [4, 4, 4, 2]
    return 32


def shrink_timm(model: ConfigDict) -> None:
    """Shrink a ViT of timm, all but its depth; of CNNs, take the smallest."""
    model.pretrained = False  # nothing is fetched
    if model.model_name.startswith('regnety'):
        model.model_name = 'regnety_004'
    elif model.model_name.startswith('halonet'):
        model.model_name = 'halonet26t'
    elif model.model_name.startswith('resnet'):
        model.model_name = 'resnet34'
    elif model.model_name.startswith('swin'):
        model.update(embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2))
        model.update(img_size=IMAGE_SIZE, window_size=2)
    else:
        model.update(embed_dim=48, num_heads=2, img_size=IMAGE_SIZE)


def shrink_resnet(backbone: ConfigDict) -> int:
    """Shrink a ResNet, all but its depth; return its last width."""
    backbone.update(stem_channels=8, base_channels=8)
    return 8 * 8 * (1 if backbone.depth < 50 else 4)


def shrink_rednet(backbone: ConfigDict) -> int:
    """Shrink a RedNet, all but its depth; return its last width."""
    backbone.update(stem_channels=32, base_channels=16)  # groups of 16 channels
    return 16 * 8 * 4


def shrink_cifar_resnet(backbone: ConfigDict) -> int:
    """Shrink a ResNet for CIFAR, by its depth; return its last width."""
    backbone.depth = 20
    return 64


def shrink_mobilenet(backbone: ConfigDict) -> int:
    """Shrink a MobileNetV2, all but its depth; return its last width."""
    backbone.widen_factor = 0.1
    return 1280


BACKBONES = {
    'CIFARResNet': shrink_cifar_resnet,
    'VisionTransformer': shrink_vit,
    'DeiT3': shrink_vit,
    'ConvAttentionViT': shrink_vit,
    'CrossBiasViT': shrink_cross_bias,
    'DistilledVisionTransformer': shrink_vit,
    'EfficientNet': lambda backbone: 1280,  # b0 is small
    'ExtraTokenViT': shrink_vit,
    'MiniDeiT': shrink_vit,
    'MiniSwin': shrink_swin,
    'RedNet': shrink_rednet,
    'MobileNetV2': shrink_mobilenet,
    'ResNet': shrink_resnet,
    'SlicedViT': shrink_sliced,
    'SwinTransformer': shrink_swin,
    'T2T_ViT': shrink_t2t,
    'TinyViT': shrink_tinyvit,
    'WideLastViT': shrink_wide_last,
}


def arch_settings(backbone: ConfigDict) -> dict:
    """Look a backbone's architecture up, when it is given by name."""
    if isinstance(backbone.arch, dict):
        return backbone.arch
    return MODELS.get(backbone.type).arch_zoo[backbone.arch]


def shrink_loader(loader: ConfigDict, folder: Path) -> None:
    """Let a dataloader give two batches of small real images, in this process."""
    loader.update(batch_size=BATCH_SIZE, num_workers=0, persistent_workers=False)
    dataset = loader.dataset
    images = IMAGES
    while 'dataset' in dataset:
        if dataset.type == 'mmvitkd.HeldOutSplit':
            dataset.num_val, images = IMAGES, 2 * IMAGES
            dataset.pop('num_labels', None)
        dataset = dataset.dataset
    if dataset.type in ('CIFAR10', 'CIFAR100'):  # digits, as large
        loader.dataset = dataset = ConfigDict(
            type='mmvitkd.Digits',
            split='train' if dataset.split == 'train' else 'val',
            pipeline=[{'type': 'Resize', 'scale': 32}, *dataset.pipeline],
        )
    if (
        dataset.type == 'CustomDataset'
        and not Path(dataset.get('ann_file', '')).is_file()
    ):
        root = imagenet_folder(folder / 'wild')
        files = [line.split()[0] for line in (root / 'meta/train.txt').open()]
        dataset.ann_file = str(root / 'selected.txt')
        Path(dataset.ann_file).write_text(''.join(f'{file}\n' for file in files))
        dataset.data_prefix = str(root / 'train')
    if dataset.type in ('mmvitkd.FashionMNIST', 'mmvitkd.FashionMNISTJPEGs'):
        dataset.verify = False
    if dataset.type == 'mmvitkd.FashionMNISTJPEGs':
        dataset.folder = str(folder / 'jpegs')
    if dataset.type == 'mmvitkd.WebDatasetImages':
        dataset.update(shards=tar_shard(folder / 'shards'), num_samples=images)
        images = None
    if dataset.type == 'mmvitkd.HuggingFaceImages':
        shrink_table(dataset, folder)
    if dataset.type in WRITERS and not (
        dataset.data_root and Path(dataset.data_root).is_dir()
    ):
        dataset.data_root = str(WRITERS[dataset.type](folder / dataset.type))
    if images:
        dataset.indices = images
    shrink_pipeline(dataset.pipeline)


def shrink_table(dataset: ConfigDict, folder: Path) -> None:
    """Let a table be one of eight images in a shard."""
    files = tar_shard(folder / 'shards')
    dataset.load.update(data_files=files, cache_dir=str(folder / 'tables'))


def shrink_pipeline(pipeline: list[ConfigDict]) -> None:
    """Let transforms give small images, those of several views too."""
    for transform in pipeline:
        for views in transform.get('transforms', []):
            shrink_pipeline(views)
        for key in ('scale', 'crop_size'):
            if isinstance(transform.get(key), int) and transform[key] > IMAGE_SIZE:
                transform[key] = transform[key] * IMAGE_SIZE // 224


def shrink_schedule(cfg: Config) -> None:
    """Train for one epoch; schedules that begin later are left out."""
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):  # the only one
        schedulers = [schedulers]
    cfg.param_scheduler = [s for s in schedulers if s.get('begin', 0) < 1]
    # likewise of terms
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [hook for hook in hooks if not begins_later(hook)]
    for hook in cfg.custom_hooks:
        if hook.get('type') == 'mmvitkd.FeatureProbeHook':
            hook.k = NEIGHBOURS
            if hook.get('dataset'):
                shrink_table(hook.dataset, Path(cfg.work_dir))
                shrink_pipeline(hook.dataset.pipeline)
    saving = cfg.default_hooks.checkpoint
    if saving.get('save_best', '').startswith('knn'):
        saving.save_best = f'knn{NEIGHBOURS}/top1'
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = {'seed': 0}


def begins_later(hook: ConfigDict) -> bool:
    """Whether a hook leaves all its terms without weight in the first epoch."""
    return 'terms' in hook and all(
        schedule.get('begin', 0) >= 1 for schedule in hook.terms.values()
    )


def imagenet_folder(root: Path) -> Path:
    """Write crops of two photographs in ImageNet's own format with ``meta/``."""
    photographs = load_sample_images().images  # (427, 640, 3) each
    for split in ('train', 'val'):
        lines = []
        for i in range(IMAGES):
            # eight of the thousand classes
            name, label = f'n{i:08d}/{split}_{i}.JPEG', 125 * i
            path = root / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            corner = 30 * i + (15 if split == 'val' else 0)
            crop = photographs[i % 2][corner : corner + 96, corner : corner + 128]
            Image.fromarray(crop).save(path)
            lines.append(f'{name} {label}\n')
        (root / 'meta').mkdir(exist_ok=True)
        (root / 'meta' / f'{split}.txt').write_text(''.join(lines))
    return root


def tar_shard(root: Path) -> str:
    """Write the training images of ``imagenet_folder`` as WebDataset's tar shard."""
    shard = root / '0000.tar'
    if not shard.is_file():
        images = imagenet_folder(root / 'images')
        with tarfile.open(shard, 'w') as file:
            for line in (images / 'meta/train.txt').read_text().splitlines():
                name, label = line.split()
                key = Path(name).stem
                file.add(images / 'train' / name, f'{key}.jpg')
                (images / f'{key}.cls').write_text(label)
                file.add(images / f'{key}.cls', f'{key}.cls')
    return str(shard)


def image_folder(root: Path, each: int = 2) -> Path:
    """Write scikit-learn's digits as PNG files, one subfolder for each class."""
    scans, labels = load_digits(return_X_y=True)
    scans = np.rint(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for label in range(10):
        mine = scans[labels == label][: 2 * each]
        for split, images in (('train', mine[:each]), ('val', mine[each:])):
            folder = root / split / f'digit_{label}'
            folder.mkdir(parents=True, exist_ok=True)
            for i, image in enumerate(images):
                Image.fromarray(image).resize((32, 32)).save(folder / f'{i}.png')
    return root


def fashion_mnist_folder(
    root: Path, train: int = 2 * IMAGES, test: int = IMAGES
) -> Path:
    """Write digits of as many classes as ``IMAGES`` in Fashion-MNIST's own format.

    The labels go round, so that any ``IMAGES`` neighbours are one of each class.
    """
    scans, labels = load_digits(return_X_y=True)
    scans = np.rint(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    members = [np.flatnonzero(labels == label) for label in range(IMAGES)]
    chosen = [members[i % IMAGES][i // IMAGES] for i in range(train + test)]
    root.mkdir(parents=True, exist_ok=True)
    for name, part in (('train', chosen[:train]), ('t10k', chosen[train:])):
        pixels = np.kron(scans[part], np.ones((3, 3), np.uint8))
        pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))  # (N, 28, 28)
        write_idx(root / f'{name}-images-idx3-ubyte.gz', pixels)
        write_idx(root / f'{name}-labels-idx1-ubyte.gz', labels[part].astype(np.uint8))
    return root


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write uint8 in the format of the MNISTs: type, rank and sizes before the data."""
    sizes = np.array(array.shape, '>u4').tobytes()
    head = bytes([0, 0, 8, array.ndim])
    path.write_bytes(gzip.compress(head + sizes + array.tobytes(), mtime=0))


WRITERS = {
    'ImageNet': imagenet_folder,
    'mmvitkd.ImageFolder': image_folder,
    'mmvitkd.FashionMNIST': fashion_mnist_folder,
    'mmvitkd.FashionMNISTJPEGs': fashion_mnist_folder,
}
