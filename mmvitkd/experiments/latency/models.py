"""Models to be timed: what of them runs where, and how."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmvitkd.export import formats
from mmvitkd.export.graph import Deployed, trace
from mmvitkd.export.student import Student, load_student
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils.cli import random_teachers
from mmvitkd.utils.config_file import open_named
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import plain_config
from mmvitkd.utils.libraries import optional_libraries

EAGER, COMPILED, ONNXRUNTIME, OPENVINO = 'eager', 'compiled', 'onnxruntime', 'openvino'
RUNTIMES = (EAGER, COMPILED, ONNXRUNTIME, OPENVINO)
FLOAT32 = 'float32'
DTYPES = (FLOAT32, 'float16', 'bfloat16')
# by the ending of a file that is no checkpoint
TAKEN_BY = {'.onnx': (ONNXRUNTIME, OPENVINO), '.pt2': (EAGER, COMPILED)}

Run = Callable[[], object]  # a forward of a batch, to its end


@dataclass(frozen=True)
class Source:
    """A model as the user names it: a checkpoint, a config or an exported file."""

    path: str
    name: str
    accuracy: float | None = None  # in percent

    @property
    def ending(self) -> str:
        """How the file's name ends."""
        return Path(self.path).suffix

    @property
    def is_graph(self) -> bool:
        """Whether it is an ONNX file."""
        return self.ending == '.onnx'

    @property
    def runtimes(self) -> tuple[str, ...]:
        """What can run it."""
        return TAKEN_BY.get(self.ending, RUNTIMES)


@dataclass(frozen=True)
class Variant:
    """A model, and how it is run."""

    source: Source
    runtime: str
    dtype: str
    batch_size: int
    threads: int
    device: str

    @property
    def name(self) -> str:
        """Name it for people."""
        dtype = () if self.source.is_graph else (self.dtype,)
        return ', '.join([self.source.name, self.runtime, *dtype])

    @property
    def takes_graph(self) -> bool:
        """Whether it is run as an ONNX model."""
        return self.runtime in (ONNXRUNTIME, OPENVINO)


def graph_of(source: Source) -> bytes:
    """Read an ONNX file, or make one of a student.

    Raises:
        ValueError: If that can't be.
    """
    if source.is_graph:
        return Path(source.path).read_bytes()
    formats.require_onnx()
    student = _student(source.path)
    module = Deployed(student, normalises=True).eval()
    return formats.to_onnx(trace(module, _example(student)), {}, {0: 'batch'})


def prepare(variant: Variant, graph: bytes = b'') -> tuple[Run, int]:
    """Load a variant.

    Args:
        variant: Of a model that is there.
        graph: The ONNX model, of one that takes it. Defaults to none.

    Returns:
        What runs a forward of random images, and the bytes that the model takes on
        disk: the file's, or those of a student's weights.

    Raises:
        ValueError: If there is something in the way.
    """
    torch.set_num_threads(variant.threads)
    if variant.takes_graph:
        if variant.device != 'cpu':
            raise ConfigError(f'{variant.runtime} is timed on the CPU only')
        run = _openvino if variant.runtime == OPENVINO else _onnxruntime
        return run(graph, variant), len(graph)
    if variant.source.ending == '.pt2':
        program = torch.export.load(variant.source.path)
        (images,) = program.example_inputs[0]
        size = Path(variant.source.path).stat().st_size
        return _module(program.module(), images, variant), size
    student = _student(variant.source.path)
    weights = student.model.state_dict().values()
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights)
    module = Deployed(student, normalises=True).eval()
    return _module(module, _example(student), variant), size


def _example(student: Student) -> Tensor:
    return torch.zeros(2, *student.image_shape(), dtype=torch.uint8)


def _student(path: str) -> Student:
    """Read a checkpoint's student, or make a config's, whose weights are random."""
    if not path.endswith('.py'):
        return load_student(path)
    whole = open_named(path)
    random_teachers(whole.model)
    cfg = plain_config(whole, alone=True)
    if cfg.get('data_preprocessor') is not None:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(SCOPE):
        model = MODELS.build(cfg.model)
    model.eval()
    return Student(model, cfg, {}, True, whole)


def _module(module: Any, images: Tensor, variant: Variant) -> Run:
    """Run by PyTorch; other types than float32 by autocast."""
    device = torch.device(variant.device)
    if isinstance(module, nn.Module):
        module = module.to(device)
    if variant.runtime == COMPILED:
        module = torch.compile(module)
    batch = _random(images, variant.batch_size).to(device)
    dtype = getattr(torch, variant.dtype)
    cast = torch.autocast(device.type, dtype, enabled=variant.dtype != FLOAT32)

    def run() -> None:
        torch.set_num_threads(variant.threads)
        with torch.no_grad(), cast:
            module(batch)
        if device.type == 'cuda':
            torch.cuda.synchronize()

    return run


def _random(images: Tensor, count: int) -> Tensor:
    drawn = torch.randint(256, (count, *images.shape[1:]))
    return drawn.to(images.dtype)


def _onnxruntime(data: bytes, variant: Variant) -> Run:
    with optional_libraries():
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = variant.threads
    session = onnxruntime.InferenceSession(
        data, options, providers=['CPUExecutionProvider']
    )
    (given,) = session.get_inputs()
    shape = _shape(given.shape, variant.batch_size)
    kind = torch.uint8 if given.type == 'tensor(uint8)' else torch.float32
    batch = _random(torch.zeros(shape, dtype=kind), variant.batch_size).numpy()
    return lambda: session.run(None, {given.name: batch})


def _openvino(data: bytes, variant: Variant) -> Run:
    with optional_libraries():
        import openvino
    with tempfile.NamedTemporaryFile(suffix='.onnx') as file:
        file.write(data)
        file.flush()
        model = openvino.Core().read_model(file.name)
    given = model.inputs[0]
    dims = [d.get_length() if d.is_static else str(d) for d in given.partial_shape]
    shape = _shape(dims, variant.batch_size)
    model.reshape(shape)
    settings = {
        'INFERENCE_NUM_THREADS': variant.threads,
        'PERFORMANCE_HINT': 'LATENCY',
        'INFERENCE_PRECISION_HINT': 'f32',  # else bfloat16, where a processor has it
    }
    compiled = openvino.compile_model(model, 'CPU', settings)
    kind = torch.uint8 if 'u8' in str(given.element_type) else torch.float32
    batch = _random(torch.zeros(shape, dtype=kind), variant.batch_size).numpy()
    request = compiled.create_infer_request()
    return lambda: request.infer([batch])


def _shape(dims: list[Any], batch_size: int) -> tuple[int, ...]:
    """Read the shape of a graph's images, whose batch is free."""
    first, *others = dims
    if isinstance(first, int) and first != batch_size:
        raise ConfigError(f'the file is for batches of {first}')
    if not all(isinstance(size, int) for size in others):
        raise ConfigError('the file takes images of any size: export one of a size')
    return (batch_size, *others)
