"""A student's ONNX graph in INT8, by ONNX Runtime's static quantisation."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mmvitkd.inspection.images import ImageData, open_data
from mmvitkd.models.classifiers.image_shape import Shape
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import PARENT
from mmvitkd.utils.libraries import optional_libraries
from mmvitkd.utils.needs import check_data

from .formats import INPUT, Predict, from_onnx
from .graph import quiet
from .images import fit
from .student import Student

BATCH = 64
# what has weights; the products of attention, softmax and norms stay float32
QUANTISED = ('Conv', 'Gemm', 'MatMul')


def quantise(
    graph: bytes, student: Student, shape: Shape, count: int, signed: bool = False
) -> tuple[bytes, list[str]]:
    """Quantise convolutions and linear layers, and test what that costs.

    Weights have a scale for each output channel, their inputs one for each tensor, from
    the least and the largest values on calibration images: of the run's own training
    set, spread evenly over it, through the test pipeline.

    Args:
        graph: Of :func:`~mmvitkd.export.formats.to_onnx`, from RGB of uint8.
        student: With the config of its run.
        shape: ``(C, H, W)`` of the images.
        count: Of calibration images.
        signed: Whether weights are stored from -128 to 127, instead of the same numbers
            plus 128. Defaults to False.

    Returns:
        The graph in INT8, and lines that tell the top-1 accuracy before and after on
        the whole test set.

    Raises:
        ConfigError: If a data set is not there, or its classes are not the student's.
    """
    data = _open(student, _training(student), count, 'training')
    test = open_test_set(student)
    classes = [set(one.classes) for one in (data, test)]
    if all(classes) and classes[0] != classes[1]:
        raise ConfigError(
            'the calibration images, of the training set, have other classes than the '
            f'test set: {sorted(classes[0] ^ classes[1])[:3]}'
        )
    small = _quantise_static(graph, data, shape, signed)
    before, after, images = accuracies(
        [from_onnx(graph), from_onnx(small)], test, shape
    )
    return small, [
        f'INT8, calibrated by {len(data)} images of the training set: '
        f'{len(small) / 1e6:.2f} MB instead of {len(graph) / 1e6:.2f}',
        f'top-1 on the {images} images of the test set: {before:.2f} in float32, '
        f'{after:.2f} in INT8',
    ]


def _quantise_static(
    graph: bytes, data: ImageData, shape: Shape, signed: bool
) -> bytes:
    """Quantise a graph, calibrated by images; its metadata tell how many."""
    with optional_libraries():
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = _batches(data, shape)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch[0]}

    with tempfile.TemporaryDirectory() as folder, quiet():
        logging.disable(logging.WARNING)
        try:
            whole, prepared, out = (Path(folder) / f'{i}.onnx' for i in range(3))
            whole.write_bytes(graph)
            quant_pre_process(whole, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                out,
                Reader(),
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=getattr(
                    quantization.QuantType, 'QInt8' if signed else 'QUInt8'
                ),
                extra_options={'MatMulConstBOnly': True, 'WeightSymmetric': True},
            )
            model = onnx.load(out)
        finally:
            logging.disable(logging.NOTSET)
    props = {
        prop.key: prop.value for prop in onnx.load_from_string(graph).metadata_props
    }
    onnx.helper.set_model_props(model, {**props, 'calibration_images': str(len(data))})
    return model.SerializeToString()


def open_test_set(student: Student) -> ImageData:
    """Open the whole test set of a student's config.

    Raises:
        ConfigError: If it has none, or it can't be read.
    """
    return _open(student, student.cfg, 10**9, 'test')


def _training(student: Student) -> Config:
    """Make a config whose test set is the run's training set, as it would be tested."""
    loader = student.run.get('train_dataloader')
    if not loader or 'dataset' not in loader:
        raise ConfigError(
            'INT8 is calibrated by images of the training set, and the config has no '
            'train_dataloader: give the config of the run by --config'
        )
    dataset: Any = deepcopy(loader['dataset'])
    inner = dataset
    while 'pipeline' not in inner and isinstance(inner.get('dataset'), dict):
        inner = inner['dataset']
    inner['pipeline'] = student.steps
    cfg = deepcopy(student.cfg)
    cfg.default_scope = student.run.get('default_scope', PARENT)  # of that data set
    cfg.test_dataloader = {**(cfg.get('test_dataloader') or {}), 'dataset': dataset}
    return cfg


def _open(student: Student, cfg: Config, count: int, what: str) -> ImageData:
    if not cfg.get('test_dataloader') or not student.steps:
        raise ConfigError('INT8 is tested on the test set, and the config has none')
    try:
        check_data(cfg, 'test')
        with student.building():
            return open_data(cfg, count)
    except (ValueError, OSError) as error:
        raise ConfigError(f"INT8: the {what} set can't be read: {error}") from error


def _batches(data: ImageData, shape: Shape) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """Read images ``(B, C, H, W)`` of uint8, RGB, and their labels."""
    for start in range(0, len(data), BATCH):
        some = [data[i] for i in range(start, min(start + BATCH, len(data)))]
        images = fit([image.pixels for image in some], shape)
        yield images.numpy(), [image.label for image in some]


def accuracies(
    models: Sequence[Predict], test: ImageData, shape: Shape
) -> tuple[float, float, int]:
    """Return two models' top-1 accuracies, in percent, and on how many images.

    Args:
        models: Both.
        test: Images with labels.
        shape: ``(C, H, W)`` that they shall have.

    Raises:
        ConfigError: If an image has not one label.
    """
    right, images = [0, 0], 0
    for batch, labels in _batches(test, shape):
        if None in labels:
            raise ConfigError('the test set has images without one label')
        images += len(labels)
        for i, predict in enumerate(models):
            found = predict(torch.from_numpy(batch)).argmax(1)
            right[i] += int((found == torch.tensor(labels)).sum())
    before, after = (100 * count / images for count in right)
    return before, after, images
