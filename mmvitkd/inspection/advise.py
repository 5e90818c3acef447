"""Measure a teacher and a student, and write a config of what is worth distilling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope

from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils.cli import device_of, print_rank0
from mmvitkd.utils.config_file import open_named

from . import advice
from .images import Image, load_for
from .models import Model, config_of, load

FILES = ('advice.md', 'advised.py')


def advise(
    teacher: str,
    student: str,
    out: Path,
    *,
    student_checkpoint: str,
    teacher_checkpoint: str | None = None,
    images: str | None = None,
    data: str | None = None,
    count: int = 64,
    batch_size: int = 32,
    device: str | None = None,
) -> None:
    """Write ``advice.md`` and a config, ``advised.py``, which has been built once.

    Args:
        teacher: Its config, or ``mmpretrain::``, ``timm:`` or ``hf:`` and a name.
        student: Its config; its data and schedule go into the new one.
        out: Folder to write.
        student_checkpoint: File or URL, of the student trained alone.
        teacher_checkpoint: File or URL. Defaults to None: the library's own.
        images: Folder of images. Defaults to None: those of ``data``.
        data: Config whose test images to take, or val's. Defaults to None.
        count: How many images. Defaults to 64.
        batch_size: Defaults to 32.
        device: Where the models run. Defaults to None: the GPU, else the CPU.

    Raises:
        ValueError: If something can't be read or judged, or would be overwritten, or
            there is no such device.
    """
    check(teacher, student, out, count, batch_size)
    on = device_of(device, 0)
    models = (
        load(teacher, teacher_checkpoint, device=on),
        load(student, student_checkpoint, device=on),
    )
    pair = advice.Pair(*models)
    samples, _ = load_for(models, images, data, count)
    right = measure(pair, samples, batch_size)
    rows = pair.judge()
    notes = advice.warnings_of(pair, rows)
    logits = heads(pair, samples[:2])
    if logits is None:
        notes.append('The two have not the same classes: no logits are distilled.')
    elif samples[0].label is not None and right[0] <= right[1]:
        notes.append(
            f'The teacher is right on {right[0]} of {len(samples)} images and the '
            f'student on {right[1]}: it has little to teach, or wrong weights or class '
            'order.'
        )
    text = render_page(str(data or images), pair, rows, notes)
    print_rank0([text])
    terms = advice.terms_of(pair, rows, logits)
    if not terms:
        raise ValueError('no layer passes the rules, and the classes differ')
    page, config = (out / name for name in FILES)
    header = (
        f'{pair.teacher.name} teaches {pair.student.name}, as advised in {page.name} '
        f'beside it\n  python tools/train.py {config}'
    )
    out.mkdir(parents=True, exist_ok=True)
    named = teacher_config(teacher, teacher_checkpoint)
    config.write_text(
        advice.render_config(student, named, terms, header, config), encoding='utf-8'
    )
    try_config(config)
    page.write_text(text, encoding='utf-8')
    print_rank0([f'{page} and {config} written'])


def check(teacher: str, student: str, out: Path, count: int, batch_size: int) -> None:
    """Refuse what would only fail after the models have run.

    Raises:
        ValueError: If a file is there already, a config is a distiller's, or the
            student's has nothing to train by.
    """
    there = [str(out / name) for name in FILES if (out / name).exists()]
    if there:
        raise ValueError(f'{" and ".join(there)} exist already: give another --out')
    if count < 4 or batch_size < 4:
        raise ValueError(
            f'--count {count} --batch-size {batch_size}: CKA needs 4 images'
        )
    if student.startswith(('timm:', 'hf:')):
        raise ValueError(
            f"student '{student}' has neither data nor schedule: write a config "
            "with it as model=dict(type='TimmClassifier', ...)"
        )
    for spec in (teacher, student):
        if not Path(spec).is_file():
            continue  # a library's, whole; load() tells of one that does not exist
        cfg = open_named(spec)
        if 'student' in cfg.get('model', {}):
            raise ValueError(
                f"'{spec}' is a distiller's config: give its student's own, and "
                'weights by tools/export_student.py'
            )
        if spec == student and 'train_dataloader' not in cfg:
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
        outputs = [model.capture(batch) for model in models]
        pair.update(batch, outputs)
        for i, answer in enumerate(outputs):
            found = answer.logits.argmax(1).tolist()
            right[i] += sum(a == b.label for a, b in zip(found, batch, strict=True))
        print_rank0([f'{places[-1] + 1} of {len(images)} images'])
    return right


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
    logits = model.capture(images).logits
    last = f'{model.blocks[-1]}.'
    for path, module in model.classifier.named_modules():
        widths = {getattr(part, 'out_features', None) for part in module.modules()}
        around = not path or last.startswith(f'{path}.')
        if around or logits.shape[1] not in widths:
            continue
        try:
            with record(model.classifier, [Tap(path)]) as seen:
                model.capture(images)
        except ValueError:  # it did not fire, or not on its own
            continue
        if torch.equal(seen[Tap(path)].value, logits):
            return path, logits.shape[1]
    raise ValueError(f"model '{model.name}' has no module that yields its logits")


def teacher_config(cfg: str, checkpoint: str | None) -> dict[str, Any]:
    """Name the teacher as the distiller takes it."""
    named: Any = cfg
    if cfg.startswith(('timm:', 'hf:')):
        named = config_of(cfg, pretrained=checkpoint is None).to_dict()
    teacher = {'cfg': named, 'checkpoint': checkpoint}
    return {key: value for key, value in teacher.items() if value is not None}


def try_config(file: Path) -> None:
    """Build the distiller that a config names, and read its teacher's weights.

    Raises:
        ValueError: If a tap, a term or a weight does not fit; the config is taken away.
    """
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            MODELS.build(open_named(file).model).load_teachers()
    except Exception:
        file.unlink()
        raise


def render_page(
    source: str, pair: advice.Pair, rows: list[advice.Row], notes: list[str]
) -> str:
    """Write what the terminal and ``advice.md`` say."""
    return '\n'.join(
        [
            f'# {pair.teacher.name} teaches {pair.student.name}',
            '',
            f'On {pair.images} images of `{source}`. The teacher has '
            f'{pair.teacher.width} channels, the student {pair.student.width}; "held" '
            "is the share of the teacher's variance that so many can hold, RMS the "
            "magnitude of the teacher's numbers: the weight of a squared error belongs "
            'to its square.',
            '',
            advice.render_table(rows),
            '',
            f'Of {pair.teacher.blocks[-1]}, '
            f'{pair.encoding().describe(pair.student.width)}',
            *('', '## Warnings', ''),
            *([f'- {note}' for note in notes] or ['None.']),
            *('', '## Rules', '', advice.RULES, '', advice.LIMITS, ''),
        ]
    )
