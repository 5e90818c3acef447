"""Ways to run a step that only a GPU can judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmvitkd.engine.training import enable_amp
from mmvitkd.models import TeacherProtocol
from mmvitkd.models.classifiers.compiled import compile_blocks
from mmvitkd.models.classifiers.tap import Feature, Tap

from ..benchmark.measure import is_cuda
from ..benchmark.variants import VARIANTS, Variant

PRECISIONS = ('float32', 'float16', 'bfloat16')
CAPTURE_WARM_UP = 3  # forwards before a graph is captured, as torch asks for
Finish = Callable[[Any, Path], None]


def set_precision(cfg: Config, precision: str) -> None:
    """Have a config train in one of :data:`PRECISIONS`, in place.

    Raises:
        ValueError: If the device has it not.
    """
    wrapper = cfg.optim_wrapper
    if precision == 'float32':
        for key in ('loss_scale', 'dtype'):
            wrapper.pop(key, None)
        wrapper.type = OptimWrapper.__name__
        return
    enable_amp(cfg)  # on CPUs in bfloat16
    if is_cuda():
        wrapper.dtype = precision
        if precision == 'bfloat16':  # whose range is float32's
            wrapper.loss_scale = 1.0
    elif precision != 'bfloat16':
        raise ValueError(f'{precision} needs a GPU')


def gpu_variants(backend: str) -> dict[str, Variant]:
    """Return the variants by name, beside those of ``benchmark``.

    Args:
        backend: Of ``torch.compile``.
    """
    options = {'backend': backend}
    known = {variant.name: variant for variant in VARIANTS}
    config = known['config'].change

    def whole(cfg: Config) -> bool:
        cfg.compile = dict(options)
        return True

    def made(name: str, what: str, finish: Finish) -> Variant:
        return Variant(name, what, config, finish=finish)

    ours = [
        made('student-compile', "the student's blocks compiled", _student(options)),
        made('teacher-compile', "the teacher's blocks compiled", _teachers(options)),
        made('terms-compile', 'the terms compiled', _terms(options)),
        Variant('compile', 'the whole step compiled', whole),
        made('channels-last', 'models and images channels-last', _channels_last),
        made('teacher-stream', 'the teacher on a CUDA stream of its own', _streams),
        made('teacher-graph', "the teacher's forward as a CUDA graph", _graphs),
        Variant(
            'teacher-fp8',
            'a teacher in bfloat16, its linear layers in float8',
            known['teacher-bf16'].change,
            finish=_float8,
        ),
    ]
    return {**known, **{variant.name: variant for variant in ours}}


def _student(options: dict[str, Any]) -> Finish:
    def finish(loop: Any, folder: Path) -> None:
        compile_blocks(loop.model.student, loop.model.student_taps, **options)

    return finish


def _teachers(options: dict[str, Any]) -> Finish:
    def finish(loop: Any, folder: Path) -> None:
        for name, taps in loop.model.teacher_taps.items():
            compile_blocks(loop.model.teachers[name].model, taps, **options)

    return finish


def _terms(options: dict[str, Any]) -> Finish:
    def finish(loop: Any, folder: Path) -> None:
        for term in loop.model.terms.values():
            term.forward = torch.compile(term.forward, **options)

    return finish


def _channels_last(loop: Any, folder: Path) -> None:
    layout = {'memory_format': torch.channels_last}
    for teacher in loop.model.teachers.values():
        teacher.model.to(**layout)
    loop.model.to(**layout)

    def lay_out(_: nn.Module, __: tuple, data: dict) -> dict:
        return {**data, 'inputs': data['inputs'].to(**layout)}

    loop.model.data_preprocessor.register_forward_hook(lay_out)


def _float8(loop: Any, folder: Path) -> None:
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        quantize_,
    )

    loop.model.load_teachers()
    for teacher in loop.model.teachers.values():
        quantize_(teacher.model, Float8DynamicActivationFloat8WeightConfig())


class _Wrapped(TeacherProtocol):
    """A loop's teacher, run in another way; it has its weights already."""

    def __init__(self, teacher: Any) -> None:
        self.teacher = teacher
        self.model = teacher.model

    def required_student_taps(self, student: nn.Module) -> list[Tap]:
        return self.teacher.required_student_taps(student)


class _StreamTeacher(_Wrapped):
    """Runs beside the student, on a stream of its own."""

    def __init__(self, teacher: Any) -> None:
        super().__init__(teacher)
        self.stream = torch.cuda.Stream()

    def __call__(
        self, inputs: Tensor, preprocessor: nn.Module, *args: Any
    ) -> dict[Tap, Feature]:
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            outputs = self.teacher(inputs, preprocessor, *args)
        inputs.record_stream(self.stream)
        for feature in outputs.values():
            feature.value.record_stream(current)
        return outputs


class _GraphTeacher(_Wrapped):
    """Captures a forward once, and replays it on other images of that shape."""

    graph: Any = None

    def __call__(
        self, inputs: Tensor, preprocessor: nn.Module, taps: Iterable[Tap], *_: Any
    ) -> dict[Tap, Feature]:
        if self.graph is None:
            self._capture(inputs, preprocessor, list(taps))
        self.inputs.copy_(inputs)
        self.graph.replay()
        return self.outputs

    def _capture(self, inputs: Tensor, preprocessor: nn.Module, taps: list) -> None:
        self.inputs = inputs.clone()
        run = partial(self.teacher, self.inputs, preprocessor, taps)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.outputs = run()
        self.graph = graph


def _wrap(loop: Any, kind: Callable[[Any], _Wrapped]) -> list[Any]:
    """Put wrapped teachers, their weights read, in the place of a loop's.

    Raises:
        ValueError: If there is no GPU.
    """
    if not is_cuda():
        raise ValueError('CUDA streams and graphs need a GPU')
    loop.model.load_teachers()
    teachers = loop.model.teachers
    for name, teacher in teachers.items():
        teachers[name] = kind(teacher)
    return [*teachers.values()]


def _graphs(loop: Any, folder: Path) -> None:
    _wrap(loop, _GraphTeacher)


def _streams(loop: Any, folder: Path) -> None:
    wrapped = _wrap(loop, _StreamTeacher)
    # a class calls its own method by its name, so that an instance's comes first
    own = loop.model._task_losses

    def task_losses(*args: Any) -> dict[str, Tensor]:
        losses = own(*args)
        for teacher in wrapped:  # the terms need what they yield
            torch.cuda.current_stream().wait_stream(teacher.stream)
        return losses

    loop.model._task_losses = task_losses
