"""Show the same images to models, and write what every section finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvitkd import __version__
from mmvitkd.utils.cli import device_of, print_rank0

from .images import Image, choose_varied, load_for
from .models import Model, load
from .section import Section, Written
from .sections import FEWEST, SECTIONS
from .style import slug


def analyse(
    specs: list[list[str]],
    out: Path,
    *,
    images: str | None = None,
    data: str | None = None,
    count: int = 64,
    layers: list[int] | None = None,
    overlays: int = 8,
    sections: Sequence[str] = tuple(SECTIONS),
    batch_size: int = 32,
    device: str | None = None,
) -> None:
    """Load, ask, and write the sections and ``analysis.json``.

    Args:
        specs: Of every model name, config and checkpoint, which may be left out where
            the library fetches its own. The first is the teacher.
        out: Folder to write.
        images: Folder of images. Defaults to None: those of ``data``.
        data: Config whose test images to take, or val's. Defaults to None.
        count: How many images. Defaults to 64.
        layers: Whose attention to show. Defaults to None: the first two, the middle and
            the last two.
        overlays: How many images to show one by one. Defaults to 8.
        sections: Of :data:`SECTIONS`. Defaults to all.
        batch_size: Defaults to 32.
        device: Where the models run. Defaults to None: the GPU, else the CPU.

    Raises:
        ValueError: If a model or the images can't be read, there are too few, or there
            is no such device.
    """
    models = load_models(specs, device_of(device, 0))
    samples, names = load_for(models, images, data, count)
    if len(samples) < FEWEST:
        raise ValueError(f'{len(samples)} images are too few: take {FEWEST} at least')
    shown = choose_varied(samples, overlays)
    parts = {name: SECTIONS[name](models, layers, shown, names) for name in sections}
    classes = run_models(models, split(samples, batch_size), list(parts.values()))
    labels = [image.label for image in samples]
    right = [
        None if None in labels else [a == b for a, b in zip(found, labels, strict=True)]
        for found in classes
    ]
    out.mkdir(parents=True, exist_ok=True)
    written = {name: section.write(out) for name, section in parts.items()}
    written['predictions'] = predictions_written(out, samples, models, classes)
    analysis = {
        'mmvitkd': __version__,
        'source': data or images,
        'models': [describe(*one) for one in zip(models, specs, right, strict=True)],
        'images': len(samples),
        'sections': {name: part.as_dict() for name, part in written.items()},
    }
    (out / 'analysis.json').write_text(json.dumps(analysis, indent=1) + '\n')
    print_rank0([note for part in written.values() for note in part.notes])
    print_rank0([f'{out / "analysis.json"} lists all that was written'])


def load_models(specs: list[list[str]], device: torch.device) -> list[Model]:
    """Load the models of the command line.

    Raises:
        ValueError: If one is not NAME CFG [CHECKPOINT], or two have one name.
    """
    for spec in specs:
        if len(spec) not in (2, 3):
            raise ValueError(
                f'--model takes NAME CFG [CHECKPOINT], got {" ".join(spec)}'
            )
    names = [slug(spec[0]) for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'--model: two models are named {", ".join(twice)}')
    return [
        load(s[1], next(iter(s[2:]), None), name=s[0], device=device) for s in specs
    ]


def split(images: list[Image], size: int) -> list[list[Image]]:
    """Make batches of almost equal size, none too small for CKA."""
    batches = min(-(-len(images) // size), len(images) // FEWEST)
    places = np.array_split(np.arange(len(images)), batches)
    return [[images[i] for i in batch] for batch in places]


def run_models(
    models: list[Model], batches: list[list[Image]], sections: list[Section]
) -> list[list[int]]:
    """Show every batch to every model and section; return every model's classes."""
    classes: list[list[int]] = [[] for _ in models]
    for batch in batches:
        outputs = [model.capture(batch) for model in models]
        for section in sections:
            section.update(batch, outputs)
        for found, output in zip(classes, outputs, strict=True):
            found += output.logits.argmax(1).tolist()
        print_rank0([f'{len(classes[0])} images'])
    return classes


def describe(model: Model, spec: list[str], right: list[bool] | None) -> dict[str, Any]:
    """Tell what a model is, and how often it is right where there are labels."""
    return {
        'name': model.name,
        'config': spec[1],
        'checkpoint': spec[2] if len(spec) > 2 else None,
        'blocks': model.blocks,
        'width': model.width,
        'heads': [model.num_heads(block) for block in model.blocks],
        'grid': model.grid,
        'extra_tokens': model.extra_tokens,
        'input_size': model.input_size,
        'parameters': sum(p.numel() for p in model.classifier.parameters()),
        'top1': None if right is None else 100 * sum(right) / len(right),
    }


def predictions_written(
    out: Path, images: list[Image], models: list[Model], classes: list[list[int]]
) -> Written:
    """Write which class every model gives to every image."""
    written = Written('Answers')
    rows = zip(images, *classes, strict=True)
    written.add_table(
        ([image.name, image.label, *outputs] for image, *outputs in rows),
        ['image', 'label', *(model.name for model in models)],
        out,
        'predictions',
        'Label of every image, and what the models say',
    )
    return written
