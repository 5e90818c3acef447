"""What ``python -m mmvitkd export --format ...`` does beside MMPretrain's format."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from mmvitkd.models.classifiers.image_shape import Shape
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import replace_file

from . import FOLDERS, SUFFIXES, formats, hubs
from .card import model_card
from .graph import Deployed, trace
from .images import check_images
from .int8 import accuracies, open_test_set, quantise
from .quantised import as_integers, is_quantised, restore_quantisers
from .student import Student, describe, known_classes, load_student, takes_bgr

TRACED = 2  # images; compared at other sizes of a batch
TOLERANCE = 1e-4
# of INT8: a value between two integers may be rounded to the other one
ROUNDING = 0.05
UINT8, FLOAT32 = 'uint8', 'float32'
GRAPHS = ('onnx', 'torch-export')


@dataclass(frozen=True)
class Input:
    """Images that an exported student takes."""

    normalises: bool = True
    input_type: str = UINT8
    dynamic_size: bool = False

    def made_of(self, images: Tensor, student: Student) -> Tensor:
        """Make them of RGB from 0 to 255."""
        if self.normalises:
            return images.to(getattr(torch, self.input_type))
        x = student.prepare(images)
        return x.flip(1) if takes_bgr(student) else x


def export(
    checkpoint: str | Path,
    out: str | Path,
    kind: str,
    *,
    config: str | Path | None = None,
    ema: bool | None = None,
    drop_dist_token: bool = False,
    force: bool = False,
    images: str | None = None,
    normalises: bool = True,
    input_type: str = UINT8,
    dynamic_size: bool = False,
    tolerance: float | None = None,
    licence: str | None = None,
    calibration_images: int = 0,
    signed_weights: bool = False,
) -> tuple[Path, list[str]]:
    """Write a student for other programs, if it predicts as in PyTorch.

    Args:
        checkpoint: Of a distillation run, of a classifier's, or an exported student.
        out: The file to write, or the folder.
        kind: One of ``SUFFIXES`` or ``FOLDERS``.
        config: Defaults to None: the one that the checkpoint has recorded.
        ema: As for :func:`~mmvitkd.utils.export.export_student`.
        drop_dist_token: Likewise.
        force: Write over an existing file. Defaults to False.
        images: A folder of images to compare by. Defaults to None: of the config's test
            set.
        normalises: Whether the graph takes RGB from 0 to 255 and normalises it itself.
            Defaults to True.
        input_type: Of such images, ``'uint8'`` or ``'float32'``. Defaults to
            ``'uint8'``.
        dynamic_size: Whether images of any size may come. Defaults to False.
        tolerance: The largest error that is written, of the largest logit. Defaults to
            None: 1e-4, or 0.05 in INT8 by the ranges of the training.
        licence: Of the student, for the model card of a folder. Defaults to None: the
            card names none.
        calibration_images: Of INT8, for ONNX; 0 leaves it in float32. A student that
            was quantised in training has its ranges from there. Defaults to 0.
        signed_weights: Whether INT8 stores weights from -128 to 127. Defaults to False:
            from 0 to 255, which no processor's products overflow.

    Returns:
        ``out``, and lines that tell what was compared.

    Raises:
        ConfigError: If there is something in the way; nothing is written then.
    """
    out = Path(out)
    _check_out(out, kind, force, checkpoint)
    if kind == 'onnx':
        formats.require_onnx()
    student = load_student(checkpoint, config, ema, drop_dist_token)
    traced, quantised = student, bool(calibration_images) and is_quantised(student)
    if quantised:
        restore_quantisers(student, checkpoint, ema)
        traced = as_integers(student, signed_weights)
    if tolerance is None:
        tolerance = ROUNDING if quantised else TOLERANCE
    shape = student.image_shape()
    shown, what, classes = check_images(student, shape, images)
    metadata = describe(student, shape, _classes(student, shown, classes))
    takes = Input()
    if kind in GRAPHS:
        takes = Input(normalises, input_type, dynamic_size)
        metadata |= {'normalisation': 'inside' if normalises else 'outside'}
        metadata |= {'dynamic_size': dynamic_size}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / 'student'
        data, predict = _make(traced, kind, shown, metadata, takes, folder)
        error = _compare(student, predict, _batches(student, shown, takes), takes)
        lines = [
            f'compared with PyTorch on {what}, in batches of 1 and {len(shown) - 1}: '
            f'the largest error is {error:.1e} of the largest logit'
        ]
        if not error <= tolerance:  # NaN is no less
            raise ConfigError(f'{lines[0]}, above {tolerance:g}: nothing was written')
        lines += _unknown(metadata)
        if quantised:
            lines += _told_int8(student, data, shape)
        elif calibration_images:
            data, told = quantise(
                data, student, shape, calibration_images, signed_weights
            )
            lines += told
        out.parent.mkdir(parents=True, exist_ok=True)
        if kind in FOLDERS:
            card = model_card(student, metadata, kind, checkpoint, lines[0], licence)
            (folder / 'README.md').write_text(card, encoding='utf-8')
            replace_folder(out, folder)
        else:
            replace_file(out, lambda part: Path(part).write_bytes(data))
    return out, lines


def _classes(
    student: Student, shown: Tensor, of_test_set: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of the classes, empty where they are not as many as logits."""
    classes = known_classes(student) or of_test_set
    fits = len(classes) == student.predict(shown[:1]).shape[1]
    return classes if fits else ()


def _told_int8(student: Student, data: bytes, shape: Shape) -> list[str]:
    """Tell of a student that was quantised in training, and of its file."""
    models = [student.predict, formats.from_onnx(data)]
    before, after, images = accuracies(models, open_test_set(student), shape)
    return [
        f'INT8, by the ranges of its training: {len(data) / 1e6:.2f} MB',
        f'top-1 on the {images} images of the test set: {before:.2f} in PyTorch, '
        f'rounded as in training, {after:.2f} in INT8',
    ]


def _unknown(metadata: dict[str, Any]) -> list[str]:
    """Say what the metadata do not tell."""
    lines = []
    if not metadata['classes']:
        lines.append('the names of the classes are not known: the metadata have none')
    if metadata['preprocessing'] is None:
        lines.append(
            'the test pipeline has other steps than a resize and a crop: the metadata '
            'do not tell how images are prepared'
        )
    return lines


def replace_folder(out: Path, source: Path) -> None:
    """Copy a folder's files to one that is complete or not there.

    Into one that is there, each file is put in the place of one of its name; others
    stay.
    """
    part = out.with_name(f'{out.name}.part')
    shutil.copytree(source, part)
    if not out.exists():
        os.replace(part, out)
        return
    for file in part.iterdir():
        os.replace(file, out / file.name)
    part.rmdir()


def _check_out(out: Path, kind: str, force: bool, checkpoint: str | Path) -> None:
    if kind in FOLDERS:
        if out.is_file() or (out.is_dir() and any(out.iterdir()) and not force):
            raise ConfigError(
                f"'{out}' exists: --format {kind} makes a folder; give another name"
                + ('' if out.is_file() else ', or --force')
            )
        return
    if out.suffix != SUFFIXES[kind]:
        raise ConfigError(f"'{out}': --format {kind} writes a {SUFFIXES[kind]} file")
    if out.is_dir():
        raise ConfigError(f"'{out}' is a folder: give a file")
    if out.resolve() == Path(checkpoint).resolve():
        raise ConfigError(f"'{out}' is the checkpoint itself: give another name")
    if out.exists() and not force:
        raise ConfigError(f"'{out}' exists: give another name, or --force")


def _make(
    student: Student,
    kind: str,
    shown: Tensor,
    metadata: dict[str, Any],
    takes: Input,
    folder: Path,
) -> tuple[bytes, formats.Predict]:
    """Make the file, empty where it is a folder, which is made; and what runs it."""
    if kind in FOLDERS:
        shape = student.image_shape()
        return b'', hubs.WRITERS[kind](student, shape, metadata, folder)
    if kind == 'safetensors':
        data = formats.to_safetensors(student, metadata)
        return data, formats.from_safetensors(data, student)
    module = Deployed(student, takes.normalises).eval()
    example = takes.made_of(shown[:TRACED], student)
    program = trace(module, example, takes.dynamic_size)
    if kind == 'torch-export':
        data = formats.to_torch_export(program, metadata)
        return data, formats.from_torch_export(data)
    free = {0: 'batch', **({2: 'height', 3: 'width'} if takes.dynamic_size else {})}
    data = formats.to_onnx(program, metadata, free)
    return data, formats.from_onnx(data)


def _batches(student: Student, shown: Tensor, takes: Input) -> list[Tensor]:
    """Return the images in batches that were not traced, of other sizes, too, if so."""
    batches = [shown[:1], shown[1:]]
    return batches + list(_of_other_sizes(student, shown) if takes.dynamic_size else ())


def _of_other_sizes(student: Student, shown: Tensor) -> Iterator[Tensor]:
    """Double one side of the images, and then the other."""
    for axis in (2, 3):
        images = torch.cat((shown[:3], shown[:3].flip(axis)), axis)
        try:
            student.predict(images)
        except Exception as error:  # whatever a model does not like
            raise ConfigError(
                f'--dynamic-size: the student itself takes no images of '
                f'{tuple(images.shape[2:])}: {str(error).splitlines()[0]}'
            ) from error
        yield images


@torch.no_grad()
def _compare(
    student: Student,
    predict: formats.Predict,
    batches: list[Tensor],
    takes: Input,
) -> float:
    """Return the largest error of any logit, relative to the largest one."""
    errors, largest = [], 0.0
    for images in batches:
        wanted = student.predict(images)
        given = takes.made_of(images, student)
        try:
            found = predict(given)
        except Exception as error:  # of a runtime, each of its own kind
            raise ConfigError(
                f'the exported student takes no images of {tuple(images.shape)}, which '
                f'it shall: {str(error).splitlines()[0]}: nothing was written'
            ) from error
        if found.shape != wanted.shape:
            raise ConfigError(
                f'the exported student yields {tuple(found.shape)} for '
                f'{tuple(images.shape)}, and not {tuple(wanted.shape)}: nothing was '
                'written'
            )
        errors.append((found - wanted).abs().max().item())
        largest = max(largest, wanted.abs().max().item())
    worst = torch.tensor(errors).max().item()  # NaN, if there is any
    return worst / max(largest, torch.finfo(torch.float32).tiny)
