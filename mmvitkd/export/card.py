"""The model card of a student's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmvitkd.utils.types import name_of

from .student import Student

USE = {
    'timm': """import timm

model = timm.create_model('local-dir:FOLDER', pretrained=True).eval()
# once it is published: timm.create_model('hf-hub:OWNER/NAME', pretrained=True)
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))""",
    'huggingface': """import transformers

model = transformers.AutoModelForImageClassification.from_pretrained('FOLDER')
processor = transformers.AutoImageProcessor.from_pretrained('FOLDER')""",
}
LIBRARY = {'timm': 'timm', 'huggingface': 'transformers'}


def model_card(
    student: Student,
    metadata: dict[str, Any],
    kind: str,
    checkpoint: str | Path,
    compared: str,
    licence: str | None,
) -> str:
    """Write the card, of what is known and nothing else.

    Args:
        student: To tell of.
        metadata: Of ``describe``.
        kind: Which of the libraries loads it.
        checkpoint: Where it is from; the log of its run lies beside it.
        compared: A sentence on its comparison with PyTorch.
        licence: As the user has named it, or None.
    """
    head = {
        'library_name': LIBRARY[kind],
        'tags': ['image-classification', 'knowledge-distillation', 'mmvitkd'],
        **({'license': licence} if licence else {}),
    }
    lines = ['---', *(f'{key}: {json.dumps(value)}' for key, value in head.items())]
    lines += ['---', '', '# Student', '', *_facts(student, metadata, checkpoint), '']
    lines += [f'Exported by mmvitkd and {compared}.', '', '```python', USE[kind], '```']
    return '\n'.join(lines) + '\n'


def _facts(
    student: Student, metadata: dict[str, Any], checkpoint: str | Path
) -> list[str]:
    data = (student.run.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(data.get('dataset'), dict):
        data = data['dataset']
    meta = student.meta
    size = 'x'.join(map(str, metadata['input_size']))
    parameters = sum(p.numel() for p in student.model.parameters())
    facts = {
        'Teacher': ', '.join(_teachers(student)) or 'none',
        'Trained on': name_of(data['type']) if 'type' in data else 'not recorded',
        'Epochs': meta.get('epoch', 'not recorded'),
        'Seed': meta.get('seed', 'not recorded'),
        'Images': f'{size} pixels, {metadata["channels"]} channels',
        'Parameters': f'{parameters:,}',
        'Measured': measured(checkpoint, meta.get('epoch')) or 'not recorded',
    }
    return [f'- {key}: {value}' for key, value in facts.items()]


def _teachers(student: Student) -> list[str]:
    model = student.run.model
    found = []
    for teacher in (model.get('teachers') or {'': model.get('teacher')}).values():
        if not teacher:
            continue
        file = teacher.get('checkpoint')
        cfg = teacher.get('cfg') or {}
        if isinstance(cfg, str):
            found.append(cfg)
            continue
        theirs = cfg.get('model', cfg)
        name = theirs.get('model_name') or name_of(theirs.get('type', 'a model'))
        backbone = theirs.get('backbone') or {}
        arch = backbone.get('arch')
        if 'type' in backbone:
            name = name_of(backbone['type'])
            name += f' {arch}' if isinstance(arch, str) else ''
        found.append(f'{name} ({Path(file).name})' if file else name)
    return found


def measured(checkpoint: str | Path, epoch: int | None) -> str:
    """Tell of :func:`validated` in words; empty where there is nothing."""
    found = validated(checkpoint, epoch)
    texts = [f'{key} {value:.2f}' for key, value in found.items()]
    return f'{", ".join(texts)} on the validation set' if texts else ''


def validated(checkpoint: str | Path, epoch: int | None) -> dict[str, float]:
    """Read the metrics of a checkpoint's validation off the log of its run.

    Args:
        checkpoint: In the folder of the run.
        epoch: Of the checkpoint.

    Returns:
        Such as ``{'accuracy/top1': 82.6}``; empty where there is no such log.
    """
    found: dict[str, float] = {}
    for log in sorted(Path(checkpoint).parent.glob('*/vis_data/scalars.json')):
        for line in log.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if not isinstance(record, dict) or record.get('step') != epoch:
                continue
            metrics = {key: value for key, value in record.items() if '/' in key}
            if metrics and 'iter' not in record:
                found = metrics
    return found
