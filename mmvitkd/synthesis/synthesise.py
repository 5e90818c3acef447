"""Write a folder of images that a teacher was asked for."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmvitkd.inspection.select import Progress, open_teacher
from mmvitkd.models.classifiers.image_shape import pair
from mmvitkd.models.classifiers.preprocessing import renormalise
from mmvitkd.utils import load_checkpoint, load_strictly, weights_of
from mmvitkd.utils.cli import device_of, print_rank0
from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.config_file import require_model
from mmvitkd.utils.run_lock import HOLDER, LOCK, lock_dir
from mmvitkd.utils.teacher_cache import differences, digest_weights, write_whole

from .inversion import Inversion, Recipe, batch_norms

FORMAT = 1
MANIFEST = 'manifest.json'
JITTER = 30 / 224  # of the longer side


def synthesise(args: argparse.Namespace) -> None:
    """Make images by a config's teacher, or go on where that was stopped.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If there is no teacher, or one without BatchNorm, or the folder
            holds something else.
    """
    cfg = read_config(args.config, args.cfg_options)
    require_model(cfg)
    distiller, teacher = open_teacher(cfg, args.teacher)
    batch_norms(teacher.model)
    distiller.to(device_of(args.device, 0)).requires_grad_(False)
    preprocessor = teacher.preprocessor or distiller.data_preprocessor
    size = find_size(args.size, teacher.input_size or cfg.model.get('input_size'))
    recipe = make_recipe(args, size)
    student = None
    if args.student is not None:
        load_student(distiller.student, args.student)
        student = compete(distiller, preprocessor, cfg.model.get('input_size'))
    inversion = Inversion(teacher.model, preprocessor, recipe, student)
    if args.count < inversion.classes:
        raise ValueError(
            f'--count {args.count}: the teacher has {inversion.classes} classes, and '
            'each gets one image at least'
        )
    manifest = {
        'format': FORMAT,
        'count': args.count,
        'classes': inversion.classes,
        'seed': args.seed,
        'batch_size': args.batch_size,
        'images_per_class': args.images_per_class,
        'recipe': {**asdict(recipe), 'size': list(size)},
        'teacher': digest_weights(teacher.model.state_dict()),
        'student': student and digest_weights(distiller.student.state_dict()),
    }
    with lock_dir(args.out):
        claim_folder(args.out, manifest)
        write_images(args, inversion)


def find_size(given: int | None, known: Any) -> tuple[int, int]:
    """Return ``(H, W)``: that of the command, else what the config tells.

    Raises:
        ValueError: If neither is known.
    """
    if given is None and known is None:
        raise ValueError(
            "the config's pipeline does not tell how large images are: give --size"
        )
    return pair(known if given is None else given)


def make_recipe(args: argparse.Namespace, size: tuple[int, int]) -> Recipe:
    """Gather what the command says."""
    jitter = args.jitter
    return Recipe(
        size=size,
        coarse_steps=args.coarse_steps,
        steps=args.steps,
        lr=args.lr,
        jitter=int(max(size) * JITTER) if jitter is None else jitter,
        flip=args.flip,
        statistics=args.statistics_weight,
        variation=args.variation_weight,
        norm=args.norm_weight,
        divergence=args.divergence_weight,
        easy=args.easy,
        competition=args.competition_weight,
    )


def load_student(student: Any, checkpoint: str) -> None:
    """Read a student's weights, of a distillation's checkpoint or of its own.

    Raises:
        ValueError: If they do not fit.
    """
    weights = weights_of(load_checkpoint(checkpoint))
    prefix = 'student.'
    if any(key.startswith(prefix) for key in weights):
        weights = weights_of(weights, prefix)
    problems = load_strictly(student, weights)
    if problems:
        raise ValueError(
            f"--student {checkpoint} does not fit the config's student: {problems[0]}"
        )


def compete(
    distiller: Any, preprocessor: Any, input_size: Any
) -> Callable[[Tensor], Tensor]:
    """Have the student answer about the teacher's normalised images."""

    def answer(x: Tensor) -> Tensor:
        x = renormalise(x, preprocessor, distiller.data_preprocessor)
        if input_size is not None and tuple(x.shape[2:]) != pair(input_size):
            x = F.interpolate(x, pair(input_size), mode='bilinear', antialias=True)
        return distiller.student(x)

    return answer


def claim_folder(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, or compare it with the one that is there.

    Raises:
        ValueError: If the folder holds other images, or something else.
    """
    file = out / MANIFEST
    if file.is_file():
        try:
            stored = json.loads(file.read_text(encoding='utf-8'))
        except ValueError as error:
            raise ValueError(
                f"'{file}' is damaged ({error}): give another --out"
            ) from error
        lines = differences(stored, manifest)
        if lines:
            raise ValueError(
                f"'{out}' holds the images of another run; what differs:\n"
                + '\n'.join(lines)
                + '\nGive another --out, or the same settings, to go on with it'
            )
        return
    others = {path.name for path in out.iterdir()} - {LOCK, HOLDER, f'{MANIFEST}.part'}
    if others:
        raise ValueError(
            f"'{out}' holds something else, {sorted(others)[:5]}: give --out an empty "
            'folder'
        )
    write_whole(file, json.dumps(manifest, indent=1).encode())


def plan_labels(count: int, classes: int, per_class: int, seed: int) -> np.ndarray:
    """Order labels so that a batch has some images each of many classes.

    Args:
        count: Of images.
        classes: Every one gets as many, but for one.
        per_class: Images of a class that follow each other.
        seed: Of the order in which the classes come, drawn anew every time.

    Returns:
        ``(count,)``.
    """
    left = np.full(classes, count // classes)
    left[: count % classes] += 1
    order = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    labels = []
    while left.any():
        for label in order.permutation(classes):
            taken = min(per_class, left[label])
            labels += [label] * taken
            left[label] -= taken
    return np.array(labels)


def write_images(args: argparse.Namespace, inversion: Inversion) -> None:
    """Make the batches whose images are not all there."""
    labels = plan_labels(
        args.count, inversion.classes, args.images_per_class, args.seed
    )
    width = len(str(inversion.classes - 1))
    digits = len(str(args.count - 1))
    files = [
        args.out / 'train' / f'{label:0{width}}' / f'{i:0{digits}}.png'
        for i, label in enumerate(labels)
    ]
    # of equal size, as a small one has poor statistics
    batches = np.array_split(np.arange(args.count), -(-args.count // args.batch_size))
    open_batches = [
        (number, batch)
        for number, batch in enumerate(batches)
        if not all(files[i].is_file() for i in batch)
    ]
    if len(open_batches) < len(batches):
        done = len(batches) - len(open_batches)
        print_rank0([f"{done} of {len(batches)} batches are in '{args.out}' already"])
    steps = inversion.recipe.coarse_steps + inversion.recipe.steps
    progress = Progress(len(open_batches) * steps, 'steps')
    right = seen = 0
    for number, batch in open_batches:
        wanted = torch.from_numpy(labels[batch])
        pixels = inversion.make(wanted, generator_of(args.seed, number), progress.step)
        for i, image in zip(batch, pixels, strict=True):
            files[i].parent.mkdir(parents=True, exist_ok=True)
            write_whole(files[i], encode(image))
        right += count_recognised(inversion, pixels, wanted)
        seen += len(batch)
    recognised = f'; of {right} of the new ones the teacher tells the class'
    print_rank0(
        [
            f"{args.count} images of {inversion.classes} classes in '{args.out}'"
            + (recognised if seen else ''),
            'train with them by',
            f"  dataset=dict(type='mmvitkd.ImageFolder', data_root='{args.out}', "
            f"split='train', num_classes={inversion.classes}, pipeline=...)",
        ]
    )


def generator_of(seed: int, batch: int) -> torch.Generator:
    """Seed a batch by itself, so that any of them can be made anew."""
    mixed = np.random.SeedSequence((seed, batch)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> 1))


def encode(image: Tensor) -> bytes:
    """Encode bytes ``(C, H, W)``, RGB or grey, as a PNG file."""
    array = image.permute(1, 2, 0).numpy()
    stream = io.BytesIO()
    Image.fromarray(array if array.shape[2] == 3 else array[..., 0]).save(stream, 'PNG')
    return stream.getvalue()


@torch.no_grad()
def count_recognised(inversion: Inversion, pixels: Tensor, labels: Tensor) -> int:
    """Count the images, as written, whose class the teacher tells."""
    x = inversion.normalise(pixels)
    return int((inversion.ask(x).argmax(1).cpu() == labels).sum())
