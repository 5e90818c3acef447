from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import BaseClassifier, HuggingFaceClassifier, TimmClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.registry import MODELS, SCOPE

from .tap import Tap, Tapped, find_module, record
from .teacher import in_our_scope, natural_input_size
from .term import DistillTerm, TermSpec, parse_term

Answers = dict[str, dict[Tap, Tapped]]
Observer = Callable[[dict[str, Tensor], Answers, Tensor | None], None]


@MODELS.register_module()
class ViTKDDistiller(BaseClassifier):
    """Train a student classifier under frozen teachers, by a sum of terms.

    .. code:: python

        model = dict(
            type='mmvitkd.ViTKDDistiller',
            student=dict(type='ImageClassifier', ...),
            teacher=dict(cfg='<config>', checkpoint='<file or URL>'),
            terms=dict(
                mimic0=dict(
                    student='backbone.layers.0', teacher='backbone.layers.0',
                    neck=dict(type='LinearProjector'),
                    loss=dict(type='ViTKDMimicLoss'))))

    It knows no method by name: one forward of the student, one of every teacher
    that a term asks, and the terms; one whose ``loss_weight`` is 0 asks none. A
    checkpoint holds ``student.*`` and ``terms.*``; predicting, testing and exporting
    need no teacher's weights.

    Args:
        student: An ordinary MMPretrain classifier.
        teacher: ``dict(cfg=..., checkpoint=...)``, see :class:`Teacher`.
        terms: ``name=dict(student=tap, teacher=tap, neck=..., loss=...)``. The log
            shows ``loss_<name>``.
        teachers: Several teachers by name, instead of ``teacher``; a term's tap
            then is ``'name:path'``.
        task_weight: Factor of the student's own losses; at 0 no label is read for
            them. Defaults to 1.0.
        train_cfg: Batch augments (Mixup, CutMix), as ``ImageClassifier`` takes
            them. Defaults to the student's own.
        data_preprocessor: As for ``ImageClassifier``. Defaults to the student's.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Attributes:
        observer: Called with the losses of a step, the teachers' answers and the
            labels, before the backward pass; None or set by a hook.
        tried: Every term's taps as they were tried at construction, student's and
            teacher's: values without content, of which the shapes tell.

    Raises:
        ValueError: If a term does not fit the models: unknown keys, a tap path
            that does not exist or does not fire once, shapes or class counts
            that the loss can't compare. All are found at construction.
    """

    student: Any  # a classifier; torch's annotation of submodules says less

    def __init__(
        self,
        student: dict | nn.Module,
        teacher: dict | None = None,
        terms: dict[str, dict] | None = None,
        teachers: dict[str, dict] | None = None,
        task_weight: float = 1.0,
        train_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        student_cfg = in_our_scope(dict(student)) if isinstance(student, dict) else {}
        train_cfg = _one_of('train_cfg', train_cfg, student_cfg.pop('train_cfg', None))
        data_preprocessor = _one_of(
            'data_preprocessor',
            data_preprocessor,
            student_cfg.pop('data_preprocessor', None),
        )
        super().__init__(
            init_cfg=init_cfg,
            data_preprocessor=_preprocessor(data_preprocessor, train_cfg),
        )
        if task_weight < 0:
            raise ValueError(f'task_weight must be at least 0, got {task_weight}')
        self.task_weight = task_weight
        self.observer: Observer | None = None
        with DefaultScope.overwrite_default_scope(SCOPE):
            # first, so that its weights are those of training it alone
            self.student = (
                student if isinstance(student, nn.Module) else MODELS.build(student_cfg)
            )
            self.student.data_preprocessor = self.data_preprocessor
            _keep_names(self.student)
            with torch.random.fork_rng(devices=[]):
                seed = int(torch.randint(2**31, ()))
                self._teachers = _build_teachers(teacher, teachers)
                # so that necks start alike whatever a teacher drew, stored ones nothing
                torch.default_generator.manual_seed(seed)
                self.terms = self._build_terms(terms or {})

    def _build_terms(self, cfgs: dict[str, dict]) -> nn.ModuleDict:
        """Build the terms from what the taps yield on a blank image."""
        if not isinstance(cfgs, dict):
            raise ValueError(
                f'terms must be a dict of terms by name, got {cfgs!r}; on the command '
                'line, model.terms=None takes them all away'
            )
        if cfgs and not self._teachers:
            raise ValueError(
                f'the terms {sorted(cfgs)} need a teacher: give teacher=dict(cfg=..., '
                'checkpoint=...)'
            )
        names = tuple(self._teachers)
        specs = self._specs = [
            parse_term(name, cfg, names) for name, cfg in cfgs.items()
        ]
        self.teacher_taps = _teacher_taps(specs)
        unasked = [name for name in names if name not in self.teacher_taps]
        if specs and unasked:
            raise ValueError(
                f"no term asks the teachers {unasked}: tap one by 'name:path', or "
                'leave it out'
            )
        self._watched = {
            name: self._teachers[name].watch(self.student) for name in self.teacher_taps
        }
        self.student_taps = [spec.student for spec in specs]
        self.student_taps += [tap for taps in self._watched.values() for tap in taps]
        self.tried: dict[str, tuple[TermSpec, Tapped, Tapped]] = {}
        terms = nn.ModuleDict()
        for spec in specs:
            teacher = self._teachers[spec.teacher_name]
            with _told(f"term '{spec.name}', student"):
                find_module(self.student, spec.student.path)
            with _told(f"term '{spec.name}', teacher"):
                teacher.check(spec.teacher)
        if specs:
            seen, answers = self._probe()
            for spec in specs:
                terms[spec.name] = _build_term(spec, seen, answers)
                self.tried[spec.name] = (
                    spec,
                    _emptied(seen[spec.student]),
                    _emptied(answers[spec.teacher_name][spec.teacher]),
                )
        return terms

    @torch.no_grad()
    def _probe(self) -> tuple[dict[Tap, Tapped], Answers]:
        """Run both sides on two blank images, changing neither."""
        height, width = natural_input_size(self.student) or (224, 224)
        inputs = torch.zeros(2, 3, height, width)
        training = self.student.training
        self.student.eval()
        with record(self.student, self.student_taps) as seen:
            self.student(inputs)
        self.student.train(training)
        answers = self.ask_teachers(inputs, None)
        return seen, answers | self.ask_teachers(inputs, None, seen=seen)

    def ask_teachers(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None,
        specs: list[TermSpec] | None = None,
        seen: dict[Tap, Tapped] | None = None,
    ) -> Answers:
        """Ask for what some terms tap.

        Args:
            inputs: Images ``(B, 3, H, W)``, as the student gets them.
            data_samples: For teachers whose answers are stored there.
            specs: The terms. Defaults to all of them.
            seen: What :attr:`student_taps` yielded on these images. With it, the
                teachers are asked that watch the student, without it the others.
        """
        answers = {}
        taps_of = _teacher_taps(self._specs if specs is None else specs)
        for name, taps in taps_of.items():
            watched = self._watched[name]
            if bool(watched) == (seen is not None):
                shown = [{tap: seen[tap] for tap in watched}] if seen else []
                answers[name] = self._teachers[name](
                    inputs, self.data_preprocessor, taps, data_samples, *shown
                )
        return answers

    @property
    def teachers(self) -> dict[str, Any]:
        """The teachers by name; they are no submodules of the distiller."""
        return self._teachers

    def init_weights(self) -> None:
        """Initialise student and necks, and read the teachers' weights."""
        super().init_weights()
        self.load_teachers()

    def load_teachers(self) -> None:
        """Read the teachers' weights, once.

        Raises:
            ValueError: If a checkpoint is missing or damaged or does not fit.
        """
        for name in self.teacher_taps:
            self._teachers[name].load()

    def _apply(self, fn: Callable, recurse: bool = True) -> 'ViTKDDistiller':
        """Move the teachers wherever the student moves (device, dtype)."""
        for teacher in self._teachers.values():
            teacher.apply(fn)
        return super()._apply(fn, recurse)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Run one of MMEngine's three modes on ``(B, 3, H, W)`` images.

        Returns:
            ``'loss'``: a dict of losses; ``'predict'`` and ``'tensor'``: whatever
            the student returns.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode=mode)

    def extract_feat(self, inputs: Tensor, **kwargs: Any) -> Any:
        """Extract the student's features; arguments as its own method's."""
        return self.student.extract_feat(inputs, **kwargs)

    def predict(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None = None,
        **kwargs: Any,
    ) -> list[DataSample]:
        """Predict with the student; arguments as its own method's."""
        return self.student.predict(inputs, data_samples, **kwargs)

    def loss(
        self, inputs: Tensor, data_samples: list[DataSample] | None
    ) -> dict[str, Tensor]:
        """Sum up the student's own losses and every term's.

        Args:
            inputs: Images ``(B, 3, H, W)``, preprocessed, mixed.
            data_samples: The labels, as indices or mixed scores.

        Returns:
            The student's own losses, times ``task_weight``, and ``loss_<term>``.

        Raises:
            FloatingPointError: If a loss is NaN or infinite; it is named.
        """
        self.load_teachers()
        active = [spec for spec in self._specs if _weighs(self.terms[spec.name])]
        # first, while no activation of the student is held
        answers = self.ask_teachers(inputs, data_samples, active)
        with record(self.student, self.student_taps) as seen:
            losses = self._task_losses(inputs, data_samples)
        answers |= self.ask_teachers(inputs, data_samples, active, seen)
        target = labels_of(data_samples)
        for spec in self._specs:
            term, student = self.terms[spec.name], seen[spec.student]
            if spec in active:
                teacher = answers[spec.teacher_name][spec.teacher]
                loss = term(student, teacher, target)
            else:
                loss = _nothing(student.value, *term.parameters())
            losses[f'loss_{spec.name}'] = loss
        _check_finite(losses, answers, seen)
        if self.observer is not None:
            self.observer(losses, answers, target)
        return losses

    def _task_losses(
        self, inputs: Tensor, data_samples: list[DataSample] | None
    ) -> dict[str, Tensor]:
        if self.task_weight == 0:
            self.student(inputs)
            return {}
        losses = self.student.loss(inputs, data_samples)
        clash = [name for name in self.terms if f'loss_{name}' in losses]
        if clash:
            raise ValueError(
                f"the terms {clash} have the names of the student's own losses "
                f'{sorted(losses)}: rename them'
            )
        return {
            key: value * self.task_weight if 'loss' in key else value
            for key, value in losses.items()
        }

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Return a parameter's depth and the number of depths, for layer decay.

        The necks count as the last layer.
        """
        name = param_name.removeprefix('student.')
        if name != param_name:
            return self.student.get_layer_depth(name)
        depths = self.student.get_layer_depth('head')[1]
        return depths - 1, depths


def _keep_names(student: nn.Module) -> None:
    """Drop the hooks by which timm's and HuggingFace's wrappers rename weights.

    They are written for a model that stands alone: inside another one they rename
    on loading only, so that no checkpoint would fit. Ours then holds
    ``student.model.*``, and ``weights_of`` gives the wrapper's own names back.
    """
    if isinstance(student, (TimmClassifier, HuggingFaceClassifier)):
        student._state_dict_hooks.clear()
        student._load_state_dict_pre_hooks.clear()


def _one_of(name: str, given: Any, students: Any) -> Any:
    if given is not None and students is not None and given != students:
        raise ValueError(
            f'{name} is given to the distiller and, another one, to the student: '
            'keep one of them'
        )
    return students if given is None else given


def _preprocessor(cfg: dict | nn.Module | None, train_cfg: dict | None) -> Any:
    """Build the data preprocessor, with the batch augments of ``train_cfg``."""
    if isinstance(cfg, nn.Module):
        return cfg
    cfg = {'type': 'ClsDataPreprocessor', 'batch_augments': train_cfg, **(cfg or {})}
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(cfg)


def _build_teachers(one: dict | None, several: dict | None) -> dict[str, Any]:
    if one is not None and several is not None:
        raise ValueError('give teacher= or teachers=, not both')
    cfgs = {'teacher': one} if one is not None else dict(several or {})
    return {
        name: MODELS.build({'type': 'Teacher', **cfg}) for name, cfg in cfgs.items()
    }


@contextmanager
def _told(whose: str) -> Iterator[None]:
    """Tell what is missing with the term and the side that it is missing on."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{whose}: {error}') from error


def _build_term(
    spec: TermSpec, seen: dict[Tap, Tapped], answers: Answers
) -> DistillTerm:
    """Build a term and try it once, so that what does not fit is found now."""
    student = seen[spec.student]
    teacher = answers[spec.teacher_name][spec.teacher]
    try:
        term = DistillTerm(spec, student, teacher)
        _try(term, student, teacher)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"term '{spec.name}': {error}") from error
    return term


def _emptied(tapped: Tapped) -> Tapped:
    return tapped._replace(value=tapped.value.to('meta'))


def _try(term: DistillTerm, student: Tapped, teacher: Tapped) -> None:
    """Call a term once, as training will.

    Raises:
        ValueError: If it does not give one number that depends on the student.
    """
    labels = torch.zeros(len(student.value), dtype=torch.long)
    with torch.enable_grad():
        leaf = student.value.detach().requires_grad_()
        loss = term(Tapped(leaf.clone(), student.hw), teacher, labels)
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


def _teacher_taps(specs: list[TermSpec]) -> dict[str, list[Tap]]:
    """Return what the terms ask, by the teacher's name."""
    return {
        name: [spec.teacher for spec in specs if spec.teacher_name == name]
        for name in dict.fromkeys(spec.teacher_name for spec in specs)
    }


def _weighs(term: nn.Module) -> bool:
    return getattr(term.loss, 'loss_weight', 1) != 0


def _nothing(*values: Tensor) -> Tensor:
    """Return 0, of which every value has a gradient of 0.

    DDP expects one for what a term reaches, also while the term is switched off. A
    sum over no elements stays 0 where ``0 * value`` would be NaN.
    """
    return torch.stack([v[None][:0].sum(dtype=torch.float32) for v in values]).sum()


def labels_of(data_samples: list[DataSample] | None) -> Tensor | None:
    """Return mixed scores ``(B, K)``, or indices ``(B,)``, or None without any."""
    if not data_samples:
        return None
    if all('gt_score' in sample for sample in data_samples):
        return torch.stack([sample.gt_score for sample in data_samples])
    if all('gt_label' in sample for sample in data_samples):
        return torch.cat([sample.gt_label for sample in data_samples])
    return None


def _check_finite(
    losses: dict[str, Tensor], answers: Answers, seen: dict[Tap, Tapped]
) -> None:
    values = {key: loss.detach() for key, loss in losses.items() if 'loss' in key}
    if not values or bool(torch.stack(list(values.values())).isfinite().all()):
        return
    bad = {key: float(value) for key, value in values.items() if not value.isfinite()}
    good = {key: float(value) for key, value in values.items() if key not in bad}
    raise FloatingPointError(
        f'not finite: {bad}; the others: {good}. {_blame(answers, seen)}'
    )


def _blame(answers: Answers, seen: dict[Tap, Tapped]) -> str:
    """Say whose tensors were not finite, and what may help."""
    sides = {f"teacher '{name}'": taps for name, taps in answers.items()}
    bad = {
        side: [tap.path for tap, tapped in taps.items() if not _is_finite(tapped)]
        for side, taps in {**sides, 'the student': seen}.items()
    }
    bad = {side: paths for side, paths in bad.items() if paths}
    found = '; '.join(f'{side} at {", ".join(paths)}' for side, paths in bad.items())
    if not bad:
        return (
            "The teachers' and the student's tensors are finite: lower the learning "
            'rate or that loss_weight'
        )
    if list(bad) == ['the student']:
        return f'Not finite are those of {found}: lower the learning rate'
    if 'the student' in bad:
        return f'Not finite are those of {found}: look at the images first'
    return (
        f'Not finite are those of {found}, and none of the student: look at the '
        "teacher's weights, normalisation and precision; the learning rate is not to "
        'blame'
    )


def _is_finite(tapped: Tapped) -> bool:
    return bool(tapped.value.isfinite().all())
