"""The formats: a student as bytes, and what runs it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import build_student
from mmvitkd.utils.libraries import optional_libraries

from .graph import quiet
from .student import Student

INPUT, OUTPUT = 'images', 'logits'
METADATA = 'metadata.json'  # in a .pt2
LARGEST = 2 * 1024**3  # of one ONNX file, which is one message of protobuf

Predict = Callable[[Tensor], Tensor]  # images (B, C, H, W) to logits (B, K)


def require_onnx() -> None:
    """Refuse to begin without the libraries that ONNX takes.

    Raises:
        ImportError: If one is missing; the message says how to get it.
    """
    with optional_libraries():
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401


def to_onnx(
    program: ExportedProgram, metadata: dict[str, Any], names: dict[int, str]
) -> bytes:
    """Translate a traced student.

    Args:
        program: Of :func:`~mmvitkd.export.graph.trace`.
        metadata: Goes along, as JSON.
        names: Of the dimensions of the images that are free.

    Raises:
        ConfigError: If ONNX has no such operation, or it is too large.
    """
    try:
        with quiet():
            translated: Any = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
            shape = translated.model.graph.inputs[0].shape
            translated.rename_axes({shape[axis]: name for axis, name in names.items()})
            translated.model.metadata_props.update(
                {key: json.dumps(value) for key, value in metadata.items()}
            )
            proto = translated.model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        raise ConfigError(f"the student can't be ONNX: {_operation(error)}") from error
    if proto.ByteSize() >= LARGEST:
        raise ConfigError(
            f'the student takes {proto.ByteSize() / 1024**3:.1f} GiB, and an ONNX file '
            'holds 2: take --format torch-export'
        )
    return proto.SerializeToString()


def _operation(error: BaseException) -> str:
    """Name the operation that ONNX has not."""
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    found = re.search(
        r"No ONNX function found for <OpOverload\(op='([^']+)'", texts[-1]
    )
    if found is not None:
        return f'it has no operation for {found[1]}'
    return ' '.join(texts[-1].split())[:300]


def from_onnx(data: bytes) -> Predict:
    """Predict by ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises is told
    session = onnxruntime.InferenceSession(
        data, options, providers=['CPUExecutionProvider']
    )

    def predict(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return predict


def to_torch_export(program: ExportedProgram, metadata: dict[str, Any]) -> bytes:
    """Save a traced student, with its metadata as a file beside it."""
    stream = io.BytesIO()
    with quiet():
        torch.export.save(program, stream, extra_files={METADATA: json.dumps(metadata)})
    return stream.getvalue()


def from_torch_export(data: bytes) -> Predict:
    """Predict by what :func:`to_torch_export` saved."""
    with quiet():
        return torch.export.load(io.BytesIO(data)).module()


def to_safetensors(student: Student, metadata: dict[str, Any]) -> bytes:
    """Save the weights, as MMPretrain names them, and the plain config."""
    with optional_libraries():
        from safetensors.torch import save
    weights = {
        key: value.contiguous().clone()  # which may be shared by several names
        for key, value in student.model.state_dict().items()
        if not key.startswith('data_preprocessor.')
    }
    told = {key: json.dumps(value) for key, value in metadata.items()}
    return save(weights, {**told, 'config': student.cfg.pretty_text})


def from_safetensors(data: bytes, student: Student) -> Predict:
    """Predict by a student that is built anew."""
    from safetensors.torch import load

    with student.building():
        model = build_student(student.cfg, load(data), 'the file and the config')
    model.eval()
    return lambda images: model(student.prepare(images))
