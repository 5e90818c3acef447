from collections.abc import Callable
from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import BaseClassifier
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.models.utils import check_weight
from mmvitkd.registry import MODELS, SCOPE

from .classes import is_headless
from .compiled import keep_plain_numbers
from .dry_run import build_terms
from .fake_quantisation import quantise_layers
from .finite import check_finite, parts_of
from .layer_depth import layer_depth
from .partial_labels import feature_of, outputs_of_part, zero_loss
from .preprocessing import find_preprocessing
from .student import build_preprocessor, keep_names, one_of, take_augments
from .tap import Feature, Tap, record
from .tasks import task_of
from .teacher import student_config, task_of_config
from .teacher_dropping import check_dropping, drop_teachers
from .teacher_protocol import TeacherProtocol, build_teachers
from .term import (
    NONE_GIVEN,
    TermSpec,
    parse_terms,
    taps_by_teacher,
    with_queried,
)

TeacherOutputs = dict[str, dict[Tap, Feature]]
Observer = Callable[[dict[str, Tensor], TeacherOutputs, Tensor | None], None]


@MODELS.register_module()
class ViTKDDistiller(BaseClassifier):
    """Train a student under frozen teachers, by a sum of terms.

    The student is a classifier, or a detector of mmdet, a segmentor of mmseg, a pose
    estimator of mmpose.

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

    One forward of the student, one of every teacher that an active term taps, and the
    terms; one whose ``loss_weight`` is 0 is not active. A checkpoint holds
    ``student.*`` and ``terms.*``; predicting, testing and exporting need no teacher.

    Args:
        student: An ordinary model, of MMPretrain or another framework, built in the
            scope of that.
        teacher: ``dict(cfg=..., checkpoint=...)``, see :class:`Teacher`.
        terms: ``name=dict(student=tap, teacher=tap, neck=..., loss=...)``, and, of
            ScaleKD's kind, ``through`` and ``query``. The log shows ``loss_<name>``.
            ``name=None`` switches that one off; None trains the student alone: no
            teacher is built then, and ``task_weight`` is 1.
        teachers: Several teachers by name, instead of ``teacher``; a term's tap
            then is ``'name:path'``.
        task_weight: Factor of the student's own losses; at 0 no label is read for
            them. Where only some images of a batch have labels, they are the mean over
            those. Defaults to 1.0.
        teacher_dropping: By which probability a teacher is left out of an image, but
            never the one whose terms are largest there; for several teachers, and terms
            whose losses have ``reduction='none'``. Defaults to 0.
        train_cfg: Batch augments (Mixup, CutMix), as ``ImageClassifier`` takes
            them. Defaults to the student's own. The ``train_cfg`` of a detector stays
            with the student.
        data_preprocessor: As for the student. Defaults to the student's.
        input_size: ``(H, W)`` of the student's images. Defaults to None: the
            training pipeline's, or the model's own, or one that will do.
        quantisation: Train, validate and test the student with the rounding of INT8:
            ``dict()``, or ``dict(weight_bits=...)`` of 2 to 8 for its weights, but for
            the first and the last layer's. It begins with the weights of a trained
            one. Defaults to None.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Attributes:
        task: What kind of model the student is.
        image_shape: ``(C, H, W)`` of the dry run's images; None without terms.
        observers: Called with the losses of a step, the teachers' outputs and the
            labels, before the backward pass; a hook adds itself.
        partly_labelled: Whether images with and without labels are trained with. Losses
            that need labels then pass over images without.
        probe_features: Of every term, its taps' features in the dry run, student's and
            teacher's: without content, for their shapes.

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
        terms: dict[str, dict] | None = NONE_GIVEN,
        teachers: dict[str, dict] | None = None,
        task_weight: float = 1.0,
        teacher_dropping: float = 0.0,
        train_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        input_size: int | tuple[int, int] | None = None,
        quantisation: dict[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        student_cfg = student_config(student)
        whole = student if isinstance(student, nn.Module) else None
        task = task_of_config(student_cfg) if whole is None else task_of(whole)
        train_cfg = take_augments(train_cfg, student_cfg, task)
        data_preprocessor = one_of(
            'data_preprocessor',
            data_preprocessor,
            student_cfg.pop('data_preprocessor', None),
        )
        if data_preprocessor is None and not task.augments:
            data_preprocessor = getattr(whole, 'data_preprocessor', None)
        scope = student_cfg.get('_scope_')
        super().__init__(
            init_cfg=init_cfg,
            data_preprocessor=build_preprocessor(
                data_preprocessor, train_cfg, task, scope
            ),
        )
        self.task = task
        self.task_weight = check_weight('task_weight', task_weight)
        if terms is None:  # the student alone, whatever taught it
            self.task_weight, teacher, teachers = 1.0, None, None
        self.observers: list[Observer] = []
        self.partly_labelled = False
        with DefaultScope.overwrite_default_scope(SCOPE):
            # first, so that its weights are those of training without teachers
            self.student = self._build_student(student, student_cfg, quantisation)
            with torch.random.fork_rng(devices=[]):
                seed = int(torch.randint(2**31, ()))
                self._teachers = build_teachers(teacher, teachers)
                # so that necks start alike whatever a teacher drew, stored ones nothing
                torch.default_generator.manual_seed(seed)
                self._specs = parse_terms(terms, tuple(self._teachers))
                built = self._build_terms(input_size)
                self.terms, self.probe_features, self.image_shape = built
        self.teacher_dropping = teacher_dropping
        if teacher_dropping and terms is not None:
            check_dropping(teacher_dropping, self._specs, self.terms)

    def _build_student(
        self,
        student: dict | nn.Module,
        student_cfg: dict,
        quantisation: dict[str, Any] | None,
    ) -> nn.Module:
        """Build the student, unless it is given, and make it one to train."""
        model: Any = (
            student if isinstance(student, nn.Module) else MODELS.build(student_cfg)
        )
        model.data_preprocessor = self.data_preprocessor
        keep_names(model)
        keep_plain_numbers(model)
        if quantisation is not None:
            quantise_layers(model, **quantisation)
        if self.task_weight and is_headless(model):
            raise ValueError(
                f'task_weight={self.task_weight:g}, but the student '
                f'({type(model).__name__}) has no head that labels could teach: set '
                'task_weight=0, or give it a head'
            )
        if student_cfg.get('pretrained'):
            find_preprocessing(model, True, 'the student')  # which may warn
        return model

    def _build_terms(self, input_size: Any) -> tuple:
        """List the taps of both sides, and build the terms by a dry run."""
        self.teacher_taps = taps_by_teacher(self._specs)
        self._required = {
            name: self._teachers[name].required_student_taps(self.student)
            for name in self.teacher_taps
        }
        required = [tap for taps in self._required.values() for tap in taps]
        self.student_taps = [spec.student for spec in self._specs] + required
        self._loaded = False
        return build_terms(
            self._specs,
            self.student,
            self._teachers,
            self.student_taps,
            self.forward_teachers,
            input_size,
        )

    def forward_teachers(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None,
        specs: list[TermSpec] | None = None,
        student_features: dict[Tap, Feature] | None = None,
    ) -> TeacherOutputs:
        """Run the teachers that some terms tap.

        Args:
            inputs: Images ``(B, 3, H, W)``, as the student gets them.
            data_samples: For teachers whose outputs are stored there.
            specs: The terms. Defaults to all of them.
            student_features: Of :attr:`student_taps` on these images. With them, the
                teachers run that require some, without them the others.
        """
        outputs = {}
        taps_of = taps_by_teacher(self._specs if specs is None else specs)
        for name, taps in taps_of.items():
            required = self._required[name]
            if bool(required) == (student_features is not None):
                needed = student_features and {t: student_features[t] for t in required}
                outputs[name] = self._teachers[name](
                    inputs, self.data_preprocessor, taps, data_samples, needed
                )
        return outputs

    @property
    def teachers(self) -> dict[str, TeacherProtocol]:
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
        if not self._loaded:
            for name in self.teacher_taps:
                self._teachers[name].load()
            self._loaded = True

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
        if mode == 'predict':
            return self.predict(inputs, data_samples)
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
        """Predict with the student; arguments as its own method's.

        One without a head predicts nothing: the samples come back as they were.
        """
        if is_headless(self.student):
            return data_samples or [DataSample() for _ in inputs]
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
            FloatingPointError: If a loss is NaN or infinite; it is named. On a GPU the
                optimiser's step raises it, before it changes a weight.
        """
        self.load_teachers()  # if no runner has initialised the weights
        active = [spec for spec in self._specs if _is_active(self.terms[spec.name])]
        running = with_queried(active, self._specs)
        # first, while no activation of the student is held
        outputs = self.forward_teachers(inputs, data_samples, running)
        labelled = self._labelled_places(data_samples)
        with record(self.student, self.student_taps) as features:
            losses = self._task_losses(inputs, data_samples, labelled)
        outputs |= self.forward_teachers(inputs, data_samples, running, features)
        target = None
        if labelled is None and self._looks_at_labels(running):
            target = self.task.labels(self.student, data_samples)
        made: dict[str, Tensor] = {}  # by terms, for those that query them
        for spec in self._specs:
            term, student = self.terms[spec.name], features[spec.student]
            labels = target if self.task.classifies or needs_labels(term) else None
            if spec in running:
                teacher = outputs[spec.teacher_name][spec.teacher]
                if term.view is not None:
                    student, hidden, seen = term.view(
                        self.student, inputs, spec.student
                    )
                    teacher = feature_of(teacher, seen)
                    loss = term(student, teacher, labels, made, hidden)
                elif labelled is not None and needs_labels(term):
                    assert data_samples is not None  # of which some have labels
                    samples = [data_samples[i] for i in labelled]
                    loss = self._labelled_term(
                        term, student, teacher, samples, labelled
                    )
                else:
                    loss = term(student, teacher, labels, made)
            else:
                loss = zero_loss(student.value, *term.parameters())
            losses[f'loss_{spec.name}'] = loss
        losses |= self._over_images(losses)
        # who looks at a step waits for it anyway
        check_finite(losses, outputs, features, wait=bool(self.observers))
        for observer in self.observers:
            observer(losses, outputs, target)
        return losses

    def _looks_at_labels(self, running: list[TermSpec]) -> bool:
        needed = any(needs_labels(self.terms[spec.name]) for spec in running)
        return self.task.classifies or needed or bool(self.observers)

    def _over_images(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take losses of each image together, ``(B, )``, of some teachers each."""
        teachers = {f'loss_{spec.name}': spec.teacher_name for spec in self._specs}
        each = {k: v for k, v in losses.items() if k in teachers and v.ndim == 1}
        if self.teacher_dropping and each:
            return drop_teachers(each, teachers, self.teacher_dropping)
        return {name: values.mean() for name, values in each.items()}

    def _labelled_places(
        self, data_samples: list[DataSample] | None
    ) -> list[int] | None:
        """List which images have labels; None where all have, or none is expected to.

        A batch without any is one of a partly labelled training once another batch
        had some, or a hook has said so by ``partly_labelled``.

        Raises:
            ValueError: If labels are to be learnt, and there are none.
        """
        places = self.task.labelled_places(data_samples)
        if places is None:
            return None
        self.partly_labelled |= bool(places)
        if self.partly_labelled:
            return places
        if self.task_weight:
            raise ValueError(
                f'no image has a label, but task_weight={self.task_weight:g} learns '
                'from labels: set model.task_weight=0, by which none is read'
            )
        return None

    def _labelled_term(
        self,
        term: Any,
        student: Feature,
        teacher: Feature,
        data_samples: list[DataSample],
        places: list[int],
    ) -> Tensor:
        """Compute a term that needs labels of those images that have one."""
        if not places:
            return zero_loss(student.value, *term.parameters())
        target = self.task.labels(self.student, data_samples)
        return term(feature_of(student, places), feature_of(teacher, places), target)

    def _task_losses(
        self,
        inputs: Tensor,
        data_samples: list[DataSample] | None,
        labelled: list[int] | None,
    ) -> dict[str, Tensor]:
        if self.task_weight == 0:
            self.task.run(self.student, inputs, data_samples)
            return {}
        if labelled is None or data_samples is None:
            losses = self.student.loss(inputs, data_samples)
        elif not labelled:
            return {'loss': zero_loss(self.student(inputs))}
        else:
            with outputs_of_part(self.student, labelled):
                samples = [data_samples[i] for i in labelled]
                losses = self.student.loss(inputs, samples)
        clash = [name for name in self.terms if f'loss_{name}' in losses]
        if clash:
            raise ValueError(
                f"the terms {clash} have the names of the student's own losses "
                f'{sorted(losses)}: rename them'
            )
        return {
            key: self._weigh(value) if 'loss' in key else value
            for key, value in losses.items()
        }

    def _weigh(self, loss: Any) -> Any:
        """Weigh one of the student's own losses, which may be several, by level."""
        weighed = [part * self.task_weight for part in parts_of(loss)]
        return weighed if isinstance(loss, (list, tuple)) else weighed[0]

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Return a parameter's depth and the number of depths; necks are the last."""
        name = param_name.removeprefix('student.')
        if name != param_name:
            return layer_depth(self.student, name)
        depths = layer_depth(self.student, 'head')[1]
        return depths - 1, depths


def needs_labels(term: Any) -> bool:
    """Whether a term's loss can't do without labels."""
    return getattr(term.loss, 'needs_labels', False)


def _is_active(term: nn.Module) -> bool:
    return getattr(term.loss, 'loss_weight', 1) != 0
