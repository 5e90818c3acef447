"""Terms are tried once on dotted images, so that what does not fit is found early."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .classes import check_exclusive, check_logits_of, takes_logits
from .image_shape import Shape, find_image_shape, first_line
from .tap import Feature, Tap, TapError, find_module, record
from .tasks import task_of
from .teacher_protocol import TeacherProtocol
from .term import DistillTerm, Part, TermSpec
from .token_order import check_order, dotted_images

TRIED = 2  # images of the four, by every term
ProbeFeatures = dict[str, tuple[TermSpec, Feature, Feature]]
# by which the libraries switch activation checkpointing on
CHECKPOINTING = ('with_cp', 'grad_checkpointing', 'gradient_checkpointing')


def build_terms(
    specs: list[TermSpec],
    student: nn.Module,
    teachers: Mapping[str, TeacherProtocol],
    student_taps: list[Tap],
    forward_teachers: Callable[..., dict[str, dict[Tap, Feature]]],
    input_size: Any = None,
) -> tuple[nn.ModuleDict, ProbeFeatures, Shape | None]:
    """Build the terms from what their taps yield of images without content.

    Args:
        specs: The terms as the config says them.
        student: The model.
        teachers: By name.
        student_taps: Of the terms, and those that teachers require.
        forward_teachers: The distiller's.
        input_size: ``(H, W)`` of the images, or one side; None finds it.

    Returns:
        The terms, of each its taps' features, student's and teacher's, without
        content, and ``(C, H, W)`` of the images.

    Raises:
        ValueError: If a term does not fit; it is named.
    """
    terms = nn.ModuleDict()
    probe_features: ProbeFeatures = {}
    if not specs:
        return terms, probe_features, None
    _check_paths(specs, student, teachers)
    shape = find_image_shape(student, input_size)
    inputs = dotted_images(shape[0], shape[1:])
    with _in_context_of_tap('student', [(spec.name, spec.student) for spec in specs]):
        seen = probe_student(student, inputs, student_taps)
    require_gradient(student, inputs[:TRIED], specs)
    taps = [(spec.name, spec.teacher) for spec in specs]
    with _in_context_of_tap('teacher', taps), _running_on(shape):
        outputs = forward_teachers(inputs, None)
        outputs |= forward_teachers(inputs, None, student_features=seen)
    made: dict[str, Tensor] = {}  # by terms, for those that query them
    for spec in specs:
        ours, theirs = seen[spec.student], outputs[spec.teacher_name][spec.teacher]
        with _in_context(f"term '{spec.name}'"):
            if spec.neck is None and spec.teacher.tokens == 'patch':
                check_logits_of(teachers[spec.teacher_name], spec.loss)
                if takes_logits(spec.loss):
                    widths = ours.value.shape[-1], theirs.value.shape[-1]
                    teacher = teachers[spec.teacher_name].model
                    task_of(student).check_heads(student, teacher, widths)
            part = find_part(spec, teachers[spec.teacher_name])
            terms[spec.name] = term = build_term(
                spec, ours, theirs, part, made, student
            )
            if term.view is not None:
                _try_view(term.view, student, inputs[:TRIED], spec)
            check_exclusive(student, teachers[spec.teacher_name], term.loss)
        sides = _without_content(ours), _without_content(theirs)
        probe_features[spec.name] = spec, *sides
    return terms, probe_features, shape


def _check_paths(
    specs: list[TermSpec], student: nn.Module, teachers: Mapping[str, TeacherProtocol]
) -> None:
    """Refuse taps of what the models have not, or of what can't be compared."""
    for spec in specs:
        with _in_context(f"term '{spec.name}', student"):
            for tap in spec.student.parts:
                find_module(student, tap.path)
                task_of(student).check_tap(student, tap)
        with _in_context(f"term '{spec.name}', teacher"):
            teachers[spec.teacher_name].check(spec.teacher)


@contextmanager
def _in_context(context: str) -> Iterator[None]:
    """Tell with an error where it happened."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f'{context}: {error}') from error


@contextmanager
def _in_context_of_tap(side: str, taps: list[tuple[str, Tap]]) -> Iterator[None]:
    """Tell with an error of a tap in which term and on which side it is."""
    try:
        yield
    except TapError as error:
        name = next((name for name, tap in taps if tap == error.tap), None)
        context = side if name is None else f"term '{name}', {side}"
        raise ValueError(f'{context}: {error}') from error


@contextmanager
def _running_on(shape: Shape) -> Iterator[None]:
    """Tell of a teacher that does not take the student's images."""
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f'a teacher does not run on the images of the student, {shape} (channels, '
            f'height, width): {first_line(error)}. If its own have another size, give '
            'it input_size=(height, width)'
        ) from error


def _without_content(feature: Feature) -> Feature:
    return feature._replace(value=feature.value.to('meta'))


@torch.no_grad()
def probe_student(
    student: nn.Module, inputs: Tensor, taps: Iterable[Tap]
) -> dict[Tap, Feature]:
    """Record a student's taps in eval mode, and leave its mode as it was.

    Args:
        student: The model.
        inputs: Images ``(B, C, H, W)``.
        taps: What to record.
    """
    training = student.training
    student.eval()
    with record(student, taps) as seen:
        task_of(student).run(student, inputs)
    student.train(training)
    return seen


def require_gradient(student: Any, inputs: Tensor, specs: list[TermSpec]) -> None:
    """Refuse taps from which no gradient finds its way into the student.

    A dry run of only the terms can't see that. Changes nothing in the student.

    Args:
        student: The model.
        inputs: Images ``(B, C, H, W)``.
        specs: The terms whose taps of the student are meant.

    Raises:
        ValueError: If there are such: inside a block whose activations are
            checkpointed the reentrant way, or where all is frozen or detached.
    """
    training = student.training
    buffers = {name: buffer.clone() for name, buffer in student.named_buffers()}
    student.train()  # some libraries checkpoint in training only
    for module in student.modules():
        if isinstance(module, nn.SyncBatchNorm):  # which trains on GPUs alone
            module.eval()
    tapped = [(spec.name, tap) for spec in specs for tap in spec.student.parts]
    with torch.enable_grad(), record(student, [tap for _, tap in tapped]) as seen:
        task_of(student).run(student, inputs)
    student.train(training)
    with torch.no_grad():
        for name, buffer in student.named_buffers():
            buffer.copy_(buffers[name])
    for name, tap in tapped:
        if not seen[tap].value.requires_grad:
            raise ValueError(
                f"term '{name}', student: no gradient gets from the tap "
                f"'{tap.path}' into the student, who would learn nothing from "
                f'it. {_reason(student)}'
            )


def _reason(student: nn.Module) -> str:
    by = next(
        (
            key
            for key in CHECKPOINTING
            for module in student.modules()
            if getattr(module, key, False) is True
        ),
        None,
    )
    if by is None:
        return 'Is what lies below it frozen or detached?'
    return (
        f'It lies inside a block whose activations are checkpointed ({by}=True) by '
        "torch's reentrant way, which runs the forward without a graph: leave that "
        "out, and use custom_hooks=[dict(type='mmvitkd.ActivationCheckpointingHook', "
        "modules=['student.backbone.layers'])], which saves as much memory; or tap the "
        'whole block'
    )


def find_part(spec: TermSpec, teacher: TeacherProtocol) -> Part | None:
    """Return what runs tokens through the part of the teacher that a term names.

    Raises:
        ValueError: If the teacher has no modules to run them through.
    """
    if not spec.through:
        return None
    forward = getattr(teacher, 'forward_part', None)
    if forward is None:
        raise ValueError(
            f'through={[*spec.through]}: a {type(teacher).__name__} has no modules to '
            'run tokens through: take a live Teacher'
        )
    return partial(forward, spec.through)


def build_term(
    spec: TermSpec,
    student: Feature,
    teacher: Feature,
    part: Part | None = None,
    made: dict[str, Tensor] | None = None,
    model: nn.Module | None = None,
) -> DistillTerm:
    """Build a term, and call it once as training will.

    Args:
        spec: The term as the config says it.
        student: What the student's tap yields of the probe images.
        teacher: What the teacher's tap yields of them.
        part: As for :class:`DistillTerm`.
        made: What the terms before have made of half of them; this one's is added.
        model: The student. Defaults to None: a classifier.

    Raises:
        ValueError: If its tokens lie in another order than their grid's, or neck or
            loss don't fit, or it gives no single number that depends on the student.
    """
    check_order(spec.student, student)
    check_order(spec.teacher, teacher)
    student, teacher = _first_half(student), _first_half(teacher)
    task = task_of(model)
    term = DistillTerm(spec, student, teacher, part, by_place=not task.classifies)
    task.check_loss(model, term.loss)
    labels = None
    if task.classifies:
        labels = torch.zeros(len(student.value), dtype=torch.long)
    elif getattr(term.loss, 'needs_labels', False):  # of places
        hw = student.hw or (1, 1)
        labels = torch.zeros(len(student.value), *hw, dtype=torch.long)
    _try(term, student, teacher, {} if made is None else made, labels)
    return term


def _first_half(feature: Feature) -> Feature:
    """Keep two of the four images; of windows, those that are theirs."""
    return feature._replace(value=feature.value[: len(feature.value) // 2])


@torch.no_grad()
def _try_view(view: Any, student: nn.Module, inputs: Tensor, spec: TermSpec) -> None:
    """Let the student look again, in eval mode, and leave its mode as it was."""
    training = student.training
    student.eval()
    view(student, inputs, spec.student)
    student.train(training)


def _try(
    term: DistillTerm,
    student: Feature,
    teacher: Feature,
    made: dict[str, Tensor],
    labels: Tensor | None,
) -> None:
    """Call a term once.

    Raises:
        ValueError: If it does not give one number that depends on the student.
    """
    with torch.enable_grad():
        leaf = student.value.detach().requires_grad_()
        hidden = None
        if term.view is not None:
            hidden = leaf.new_ones(leaf.shape[:2], dtype=torch.bool)
        ours = Feature(leaf.clone(), student.hw)
        loss = term(ours, teacher, labels, made, hidden)
        if isinstance(made[term.name], Tensor):  # a neck of the user's may differ
            made[term.name] = made[term.name].detach()
        forget: Any = getattr(term.loss, 'forget', None)  # what it keeps of images
        if forget is not None:
            forget()
        if getattr(term.loss, 'per_image', False):
            if loss.shape != (TRIED,):
                raise ValueError(
                    f"{type(term.loss).__name__} with reduction='none' must return a "
                    f'number of each of {TRIED} images, got {tuple(loss.shape)}; the '
                    'windows of an attention are no images'
                )
            loss = loss.mean()
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else ''
            raise ValueError(
                f'{type(term.loss).__name__} must return a tensor of one number, got '
                f'{type(loss).__name__} {shape}'
            )
        attached = loss.requires_grad
        if (
            not attached
            or torch.autograd.grad(loss, leaf, allow_unused=True)[0] is None
        ):
            raise ValueError(
                f'{type(term.loss).__name__} does not depend on the student, who would '
                'learn nothing from it: is something detached?'
            )
