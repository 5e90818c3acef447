"""See what models do with images: attention, and how far layers are from a teacher's.

    python tools/analyse.py --data configs/digits/digits_student.py --out OUT \\
        --model teacher configs/digits/digits_teacher.py TEACHER.pth \\
        --model student configs/digits/digits_student.py STUDENT.pth

The first model is the teacher that the others are compared with.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from analysis_lib import images as image_lib
from analysis_lib.attention_figures import AttentionFigures
from analysis_lib.distance_figures import DistanceFigures
from analysis_lib.dynamics_figures import DynamicsFigures
from analysis_lib.images import Image
from analysis_lib.models import Model, load
from analysis_lib.section import Section, Written
from analysis_lib.style import slug

from mmvitkd import __version__
from mmvitkd.utils.cli import readable_errors, say

FEWEST = 4  # images of a minibatch, which the unbiased HSIC needs

# every section is built from the models and the options
SECTIONS: dict[str, Callable[[list[Model], argparse.Namespace], Section]] = {
    'attention': lambda models, args: AttentionFigures(
        models, args.layers, args.overlays
    ),
    'distance': lambda models, args: DistanceFigures(models),
    'dynamics': lambda models, args: DynamicsFigures(models),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--model',
        dest='models',
        action='append',
        nargs='+',
        required=True,
        metavar=('NAME CFG', 'CHECKPOINT'),
        help="what to call it; a config, an 'mmpretrain::' name, 'timm:NAME' or "
        "'hf:NAME'; its weights, which timm and HuggingFace fetch if left out. Of a "
        'distillation run, the student is taken. Once for every model',
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--images', metavar='DIR', help='folder of images')
    source.add_argument(
        '--data', metavar='CONFIG', help="config whose test images to take, or val's"
    )
    parser.add_argument('--out', required=True, type=Path, help='folder to write')
    parser.add_argument(
        '--count', type=int, default=64, help='how many images. Default: %(default)s'
    )
    parser.add_argument(
        '--layers',
        type=int,
        nargs='+',
        help='whose attention to show. Default: the first two, the middle and the last '
        'two',
    )
    parser.add_argument(
        '--overlays',
        type=int,
        default=8,
        help='how many images to show one by one. Default: %(default)s',
    )
    parser.add_argument(
        '--sections',
        nargs='+',
        choices=SECTIONS,
        default=list(SECTIONS),
        help='what to do. Default: all of them',
    )
    parser.add_argument('--batch-size', type=int, default=32, help='Default: 32')
    args = parser.parse_args()
    for name, least in (('count', FEWEST), ('overlays', 0), ('batch_size', 1)):
        if getattr(args, name) < least:
            parser.error(f'--{name.replace("_", "-")} must be at least {least}')
    return args


def load_models(specs: list[list[str]]) -> list[Model]:
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
    return [load(cfg, *checkpoint, name=name) for name, cfg, *checkpoint in specs]


def load_images(args: argparse.Namespace, models: list[Model]) -> list[Image]:
    """Read images, as large as the model that wants the largest.

    Raises:
        ValueError: If there are too few, or none.
    """
    if args.data is not None:
        images = image_lib.load_data(args.data, args.count)
    else:
        sizes = [max(m.input_size) for m in models if m.input_size is not None]
        size = max(sizes, default=image_lib.SIZE)
        images = image_lib.load(args.images, args.count, size)
    if len(images) < FEWEST:
        raise ValueError(f'{len(images)} images are too few: take {FEWEST} at least')
    return images


def split(images: list[Image], size: int) -> list[list[Image]]:
    """Make batches of almost equal size, none too small for CKA."""
    batches = min(-(-len(images) // size), len(images) // FEWEST)
    places = np.array_split(np.arange(len(images)), batches)
    return [[images[i] for i in batch] for batch in places]


def ask(
    models: list[Model], batches: list[list[Image]], sections: list[Section]
) -> list[list[int]]:
    """Show every batch to every model and section; return every model's classes."""
    classes: list[list[int]] = [[] for _ in models]
    for batch in batches:
        answers = [model.answer(batch) for model in models]
        for section in sections:
            section.update(batch, answers)
        for found, answer in zip(classes, answers, strict=True):
            found += answer.logits.argmax(1).tolist()
        say([f'{len(classes[0])} images'])
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


def answers_written(
    out: Path, images: list[Image], models: list[Model], classes: list[list[int]]
) -> Written:
    """Write which class every model gives to every image."""
    written = Written('Answers')
    rows = zip(images, *classes, strict=True)
    written.add_table(
        ([image.name, image.label, *answers] for image, *answers in rows),
        ['image', 'label', *(model.name for model in models)],
        out,
        'answers',
        'Label of every image, and what the models say',
    )
    return written


def run(args: argparse.Namespace) -> None:
    """Load, ask, and write the sections and ``analysis.json``."""
    models = load_models(args.models)
    images = load_images(args, models)
    sections = {name: SECTIONS[name](models, args) for name in args.sections}
    batches = split(images, args.batch_size)
    classes = ask(models, batches, list(sections.values()))
    labels = [image.label for image in images]
    right = [
        None if None in labels else [a == b for a, b in zip(found, labels, strict=True)]
        for found in classes
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    written = {name: section.write(args.out) for name, section in sections.items()}
    written['answers'] = answers_written(args.out, images, models, classes)
    analysis = {
        'mmvitkd': __version__,
        'source': args.data or args.images,
        'models': [
            describe(*parts) for parts in zip(models, args.models, right, strict=True)
        ],
        'images': len(images),
        'sections': {name: part.as_dict() for name, part in written.items()},
    }
    (args.out / 'analysis.json').write_text(json.dumps(analysis, indent=1) + '\n')
    say([note for part in written.values() for note in part.notes])
    say([f'{args.out / "analysis.json"} lists all that was written'])


def main() -> None:
    args = parse_args()
    with readable_errors():
        run(args)


if __name__ == '__main__':
    main()
