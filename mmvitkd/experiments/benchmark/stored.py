"""Outputs that are there before the step: stored ones, and a bound for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmvitkd.models import CachedTeacher, TeacherProtocol
from mmvitkd.models.classifiers.cached_feature_spec import (
    CachedFeatureSpec,
    record_dtype,
)
from mmvitkd.models.classifiers.tap import Feature, Tap
from mmvitkd.utils.teacher_cache import FORMAT

TOP_K = 10


class HeldTeacher(TeacherProtocol):
    """Outputs on one batch, at no cost at all."""

    def __init__(self, outputs: dict[Tap, Feature]) -> None:
        self.outputs = outputs

    def __call__(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[Any] | None = None,
        student_features: dict[Tap, Feature] | None = None,
    ) -> dict[Tap, Feature]:
        """Return them."""
        return {tap: self.outputs[tap] for tap in taps}


def hold(loop: Any, folder: Path) -> None:
    """Put a batch's outputs in the place of a loop's teachers."""
    for name, outputs in _outputs(loop).items():
        loop.model.teachers[name] = HeldTeacher(outputs)


def store(loop: Any, folder: Path) -> None:
    """Put a :class:`CachedTeacher` in the place of a loop's teacher.

    Its records come on the batch's samples, as ``CachedDataset`` lays them there.

    Raises:
        ValueError: If there are several teachers.
    """
    found = _outputs(loop)
    if len(found) != 1:
        raise ValueError(f'one teacher can be stored, the terms tap {list(found)}')
    ((name, outputs),) = found.items()
    specs = [_spec(tap, feature) for tap, feature in outputs.items()]
    records = np.zeros(len(loop.inputs), record_dtype(specs))
    for number, spec in enumerate(specs):
        records[str(number)] = spec.encode(outputs[spec.tap])
    manifest = {
        'format': FORMAT,
        'epochs': 1,
        'taps': [spec.as_setting() for spec in specs],
        'record_bytes': records.itemsize,
        'data': {'images': len(records)},
        'batch_size': len(records),
        'shard_size': len(records),
        'teacher': {},
        'normalisation': None,
        'versions': {},
    }
    folder.mkdir()
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    teacher = CachedTeacher(folder)
    for sample, record in zip(loop.batch['data_samples'], records, strict=True):
        named = teacher.cache.name, record.tobytes()
        sample.set_field(named, 'teacher_record', field_type='metainfo')
    loop.model.teachers[name] = teacher


def _outputs(loop: Any) -> dict[str, dict[Tap, Feature]]:
    """Run every teacher on the loop's batch."""
    model = loop.model
    model.load_teachers()
    return {
        name: model.teachers[name](loop.inputs, model.data_preprocessor, taps)
        for name, taps in model.teacher_taps.items()
    }


def _spec(tap: Tap, feature: Feature) -> CachedFeatureSpec:
    shape = tuple(feature.value.shape[1:])
    top_k = min(TOP_K, shape[0]) if len(shape) == 1 else None
    return CachedFeatureSpec(tap, shape, feature.hw, top_k)
