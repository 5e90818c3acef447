"""Judge a model's frozen features by its nearest neighbours and a linear layer."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import barrier, broadcast_object_list
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.data import Subset

from mmvitkd import __version__
from mmvitkd.datasets.labelled import labelled_subset, pipeline_of, with_pipeline
from mmvitkd.evaluation.probing import (
    NO_LABEL,
    STRENGTHS,
    Features,
    extract_features,
    knn_accuracy,
    linear_accuracy,
)
from mmvitkd.models.classifiers.pooled import pooled_features
from mmvitkd.models.classifiers.preprocessing import normalisation
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.registry import DATASETS
from mmvitkd.utils.cli import device_of, join_processes, print_rank0
from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.teacher_cache import digest_weights, plain, write_whole

from .images import Image, ImageData, stack
from .models import Classifier, load_classifier
from .select import Progress

PROBE = 'probe.json'


def probe(args: argparse.Namespace) -> None:
    """Extract features, or find those that are there, and write what they are worth.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If the model, its weights or the images can't be read, or do not
            suit.
    """
    cfg = _data_config(args)
    cfg.launcher = args.launcher
    join_processes(cfg)
    device = device_of(args.device, int(os.environ.get('LOCAL_RANK', '0')))
    model = Classifier(
        args.model,
        load_classifier(args.model, args.checkpoint, args.prefix, headless=True),
    )
    model.classifier.to(device)
    tap = None if args.tap is None else Tap(args.tap, args.tokens)
    sets = open_sets(cfg, args.split, args.max_images)
    if args.k and max(args.k) > len(sets['train']):
        raise ValueError(
            f'--k {max(args.k)}: there are {len(sets["train"])} labelled training '
            'images, so give fewer neighbours'
        )
    identity = describe_model(model, tap)
    train, test = (
        _features_of(name, images, model, tap, identity, device, cfg, args)
        for name, images in sets.items()
    )
    results = judge(train, test, args, device)
    if int(os.environ.get('RANK', '0')) == 0:
        _write(results, train, test, args)


def _data_config(args: argparse.Namespace) -> Config:
    """Read the config whose images are taken.

    Raises:
        ValueError: If none is named, or it lacks a data loader.
    """
    file = args.data or args.model
    if args.data is None and not Path(file).is_file():
        raise ValueError(
            f"'{file}' has no images of its own: give --data CONFIG, whose training "
            'and test images are taken'
        )
    cfg = read_config(file, args.cfg_options)
    for name in ('train', args.split):
        if (cfg.get(f'{name}_dataloader') or {}).get('dataset') is None:
            raise ValueError(
                f"config '{file}' has no {name}_dataloader, whose images are needed"
            )
    return cfg


def open_sets(cfg: Config, split: str, max_images: int | None) -> dict[str, ImageData]:
    """Open the training images, as the test prepares its own, and those of a split."""
    test = deepcopy(cfg[f'{split}_dataloader'].dataset)
    train = with_pipeline(cfg.train_dataloader.dataset, pipeline_of(test))
    own = cfg.get('data_preprocessor') or {}
    own = own or (cfg.get('model') or {}).get('data_preprocessor') or {}
    flip = bool(own.get('to_rgb'))  # the pipeline loads BGR
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        built = labelled_subset(train, max_images)
        places: Sequence[int] = range(len(built))
        if isinstance(built, Subset):
            places, built = built.indices, built.dataset
        tested = DATASETS.build(test)
    return {
        'train': ImageData(built, places, flip, cfg.filename),
        split: ImageData(tested, range(len(tested)), flip, cfg.filename),
    }


def describe_model(model: Classifier, tap: Tap | None) -> dict[str, Any]:
    """Tell, as plain data, what the features of an image depend on."""
    return {
        'weights': digest_weights(model.classifier.state_dict()),
        'tap': None if tap is None else [tap.path, tap.tokens],
        'input_size': plain(model.input_size),
        'normalisation': plain(normalisation(model.classifier.data_preprocessor)),
        'version': __version__,
    }


def _digest_images(images: ImageData) -> str:
    """Digest which images they are, their labels, and how they are prepared."""
    digest = hashlib.sha256(str(images.flip).encode())
    for step in getattr(getattr(images.dataset, 'pipeline', None), 'transforms', ()):
        digest.update(repr(step).encode())
    for place in images.places:
        info = images.dataset.get_data_info(int(place))
        digest.update(f'{info.get("gt_label")} {info.get("gt_score")} '.encode())
        digest.update(_name(info))
    return digest.hexdigest()


def _name(info: dict[str, Any]) -> bytes:
    """Return a file with its size and time, or the pixels that are in memory."""
    file = info.get('img_path')
    if file is None:
        return np.ascontiguousarray(info['img']).tobytes()
    try:
        found = os.stat(file)
    except OSError:  # no file of this machine
        return str(file).encode()
    return f'{file} {found.st_size} {found.st_mtime_ns}\n'.encode()


def _features_of(
    name: str,
    images: ImageData,
    model: Classifier,
    tap: Tap | None,
    identity: dict[str, Any],
    device: torch.device,
    cfg: Config,
    args: argparse.Namespace,
) -> Features:
    """Read the features of a set of images from the folder, or make them."""
    file = args.out / f'features_{name}.pt'
    key = json.dumps({**identity, 'images': _digest_images(images)}, sort_keys=True)
    held = _read(file, key)
    there = [held is not None]
    broadcast_object_list(there)  # all take the first process's
    if there[0] and held is None:
        raise ValueError(
            f"'{file}' is not seen by all processes: --out is a shared one"
        )
    if there[0] and held is not None:
        print_rank0([f'{file}: features of {len(images)} {name} images, as they are'])
        return held
    progress = Progress(len(images), f'{name} images')

    def forward(samples: list[Image]) -> tuple[Tensor, list[int]]:
        inputs = model.prepare(stack(samples).to(device))
        labels = [NO_LABEL if one.label is None else one.label for one in samples]
        return pooled_features(model.classifier, inputs, tap), labels

    workers = args.workers
    if workers is None:
        workers = cfg.train_dataloader.get('num_workers', 0)
    found = extract_features(images, forward, args.batch_size, workers, progress.at)
    if int(os.environ.get('RANK', '0')) == 0:
        args.out.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save({'key': key, **found._asdict()}, content)
        write_whole(file, content.getvalue())
    barrier()
    return found


def _read(file: Path, key: str) -> Features | None:
    """Read features, unless they are of another model or of other images."""
    if not file.is_file():
        return None
    try:
        held = torch.load(file, map_location='cpu', weights_only=True)
        same = held['key'] == key
        return Features(held['values'], held['labels']) if same else None
    except Exception:  # damaged, in whatever way: they are made anew
        return None


def judge(
    train: Features, test: Features, args: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """Classify the test images, by neighbours and by a linear layer."""
    results: dict[str, Any] = {}
    if args.k:
        top1 = knn_accuracy(train, test, args.k, args.temperature, device)
        results |= {f'knn{k}/top1': value for k, value in top1.items()}
    strengths = STRENGTHS if args.strength is None else args.strength
    if strengths:
        linear = linear_accuracy(train, test, strengths, device=device)
        results |= {'linear/top1': linear.top1, 'linear/C': linear.strength}
        if linear.at_end:
            print_rank0(
                [
                    f'the best C, {linear.strength:g}, is an end of the range: a wider '
                    'one, by --strength, may do better'
                ]
            )
    return results


def _write(
    results: dict[str, Any], train: Features, test: Features, args: argparse.Namespace
) -> None:
    """Write and print the results."""
    args.out.mkdir(parents=True, exist_ok=True)
    written = {
        'mmvitkd': __version__,
        'model': args.model,
        'checkpoint': args.checkpoint,
        'data': args.data or args.model,
        'split': args.split,
        'tap': args.tap,
        'tokens': args.tokens if args.tap else None,
        'temperature': args.temperature,
        'width': train.values.shape[1],
        'train_images': len(train.labelled().labels),
        'test_images': len(test.labelled().labels),
        'results': results,
    }
    file = args.out / PROBE
    file.write_text(json.dumps(written, indent=1) + '\n', encoding='utf-8')
    lines = [f'{key:12} {value:g}' for key, value in results.items()]
    print_rank0(
        [
            f'{written["test_images"]} {args.split} images by '
            f'{written["train_images"]} training images, features of '
            f'{written["width"]} channels:',
            *lines,
            f'{file}: these figures',
        ]
    )
