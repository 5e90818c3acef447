"""Advise which layers of a teacher to distil into a student, and write a config.

    python tools/advise.py configs/digits/digits_teacher.py \\
        configs/digits/digits_student.py --data configs/digits/digits_student.py \\
        --teacher-checkpoint TEACHER.pth --student-checkpoint STUDENT.pth --out OUT

It measures both on images, CKA between their layers and the rank of the teacher's, and
applies rules with numbers, which it prints: a heuristic.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from analysis_lib import advice
from analysis_lib import images as image_lib
from analysis_lib.images import Image
from analysis_lib.models import Model, config_of, load
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils.cli import readable_errors, say

FILES = ('advice.md', 'advised.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    spec = "a config, an 'mmpretrain::' name"
    parser.add_argument('teacher', help=f"{spec}, 'timm:NAME' or 'hf:NAME'")
    parser.add_argument(
        'student', help=f'{spec}; its data and schedule go into the config'
    )
    parser.add_argument(
        '--teacher-checkpoint', help='file or URL; timm and HuggingFace have their own'
    )
    parser.add_argument(
        '--student-checkpoint',
        required=True,
        help='file or URL, of the student trained alone',
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
    parser.add_argument('--batch-size', type=int, default=32, help='Default: 32')
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """Refuse what would only fail after the models have run.

    Raises:
        ValueError: If a file is there already, a config is a distiller's, or the
            student's has nothing to train by.
    """
    there = [str(args.out / name) for name in FILES if (args.out / name).exists()]
    if there:
        raise ValueError(f'{" and ".join(there)} exist already: give another --out')
    if args.count < 4 or args.batch_size < 4:
        raise ValueError(
            f'--count {args.count} --batch-size {args.batch_size}: CKA needs 4 images'
        )
    if args.student.startswith(('timm:', 'hf:')):
        raise ValueError(
            f"student '{args.student}' has neither data nor schedule: write a config "
            "with it as model=dict(type='TimmClassifier', ...)"
        )
    for spec in (args.teacher, args.student):
        if not Path(spec).is_file():
            continue  # a library's, whole; load() tells of one that does not exist
        cfg = Config.fromfile(spec)
        if 'student' in cfg.get('model', {}):
            raise ValueError(
                f"'{spec}' is a distiller's config: give its student's own, and "
                'weights by tools/export_student.py'
            )
        if spec == args.student and 'train_dataloader' not in cfg:
            raise ValueError(
                f"student '{spec}' has no train_dataloader: give a whole config, whose "
                'data and schedule the student is to be trained by'
            )


def measure(pair: advice.Pair, images: list[Image], batch_size: int) -> list[int]:
    """Ask both models about the images; return how many labels each of them finds."""
    models = pair.teacher, pair.student
    right = [0, 0]
    batches = -(-len(images) // batch_size)
    for places in np.array_split(np.arange(len(images)), batches):
        batch = [images[i] for i in places]
        answers = [model.answer(batch) for model in models]
        pair.update(batch, answers)
        for i, answer in enumerate(answers):
            found = answer.logits.argmax(1).tolist()
            right[i] += sum(a == b.label for a, b in zip(found, batch, strict=True))
        say([f'{places[-1] + 1} of {len(images)} images'])
    return right


def load_images(args: argparse.Namespace, models: tuple[Model, Model]) -> list[Image]:
    if args.data is not None:
        return image_lib.load_data(args.data, args.count)
    sizes = [max(m.input_size) for m in models if m.input_size is not None]
    size = max(sizes, default=image_lib.SIZE)
    return image_lib.load(args.images, args.count, size)


def heads(pair: advice.Pair, images: list[Image]) -> tuple[str, str] | None:
    """Return the paths that yield the student's and the teacher's logits.

    None if the two have not the same number of classes.
    """
    found = [find_head(model, images) for model in (pair.student, pair.teacher)]
    classes = [count for _, count in found]
    return (found[0][0], found[1][0]) if classes[0] == classes[1] else None


def find_head(model: Model, images: list[Image]) -> tuple[str, int]:
    """Return the outermost path whose output is the logits, and their number.

    Raises:
        ValueError: If there is none.
    """
    logits = model.answer(images).logits
    last = f'{model.blocks[-1]}.'
    for path, module in model.classifier.named_modules():
        widths = {getattr(part, 'out_features', None) for part in module.modules()}
        around = not path or last.startswith(f'{path}.')
        if around or logits.shape[1] not in widths:
            continue
        try:
            with record(model.classifier, [Tap(path)]) as seen:
                model.answer(images)
        except ValueError:  # it did not fire, or not on its own
            continue
        if torch.equal(seen[Tap(path)].value, logits):
            return path, logits.shape[1]
    raise ValueError(f"model '{model.name}' has no module that yields its logits")


def teacher_config(args: argparse.Namespace) -> dict[str, Any]:
    """Name the teacher as the distiller takes it."""
    cfg: Any = args.teacher
    if cfg.startswith(('timm:', 'hf:')):
        cfg = config_of(cfg, pretrained=args.teacher_checkpoint is None).to_dict()
    teacher = {'cfg': cfg, 'checkpoint': args.teacher_checkpoint}
    return {key: value for key, value in teacher.items() if value is not None}


def try_config(file: Path) -> None:
    """Build the distiller that a config names, and read its teacher's weights.

    Raises:
        ValueError: If a tap, a term or a weight does not fit; the config is taken away.
    """
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            MODELS.build(Config.fromfile(file).model).load_teachers()
    except Exception:
        file.unlink()
        raise


def report(
    args: argparse.Namespace,
    pair: advice.Pair,
    rows: list[advice.Row],
    notes: list[str],
) -> str:
    """Write what the terminal and ``advice.md`` say."""
    return '\n'.join(
        [
            f'# {pair.teacher.name} teaches {pair.student.name}',
            '',
            f'On {pair.images} images of `{args.data or args.images}`. The teacher has '
            f'{pair.teacher.width} channels, the student {pair.student.width}; "held" '
            "is the share of the teacher's variance that so many can hold.",
            '',
            advice.render_table(rows),
            *('', '## Warnings', ''),
            *([f'- {note}' for note in notes] or ['None.']),
            *('', '## Rules', '', advice.RULES, '', advice.LIMITS, ''),
        ]
    )


def run(args: argparse.Namespace) -> None:
    check_args(args)
    teacher = load(args.teacher, args.teacher_checkpoint)
    student = load(args.student, args.student_checkpoint)
    pair = advice.Pair(teacher, student)
    images = load_images(args, (teacher, student))
    right = measure(pair, images, args.batch_size)
    rows = pair.judge()
    notes = advice.warnings_of(pair, rows)
    logits = heads(pair, images[:2])
    if logits is None:
        notes.append('The two have not the same classes: no logits are distilled.')
    elif images[0].label is not None and right[0] <= right[1]:
        notes.append(
            f'The teacher is right on {right[0]} of {len(images)} images and the '
            f'student on {right[1]}: it has little to teach, or wrong weights or class '
            'order.'
        )
    text = report(args, pair, rows, notes)
    say([text])
    terms = advice.terms_of(pair, rows, logits)
    if not terms:
        raise ValueError('no layer passes the rules, and the classes differ')
    page, config = (args.out / name for name in FILES)
    header = (
        f'{teacher.name} teaches {student.name}, as advised in {page.name} beside it\n'
        f'  python tools/train.py {config}'
    )
    args.out.mkdir(parents=True, exist_ok=True)
    config.write_text(
        advice.render_config(args.student, teacher_config(args), terms, header, config)
    )
    try_config(config)
    page.write_text(text)
    say([f'{page} and {config} written'])


def main() -> None:
    args = parse_args()
    with readable_errors():
        run(args)


if __name__ == '__main__':
    main()
