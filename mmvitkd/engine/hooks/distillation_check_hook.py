from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from mmvitkd.models.classifiers.tap import Feature, Grid, Tap
from mmvitkd.models.classifiers.tasks import task_of
from mmvitkd.registry import HOOKS
from mmvitkd.utils.class_names import compare_classes, dataset_classes
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.costs import count_flops, count_parameters

from .accuracy import STUDENT, chance_warning, near_chance
from .teacher_trial import Count, Trial, find_untried, logit_terms, try_teachers


@HOOKS.register_module()
class DistillationCheckHook(Hook):
    """Say before the first step what is distilled into what, and try the teachers.

    The log shows student and teachers with their parameters and multiply-adds, the
    teachers' accuracy on some training images, as augmented and mixed as in training
    (a ``MaskedTeacher``'s on whole ones), and of every term the taps, their shapes and
    grids, the neck, the loss and its weight. Teachers of other classes than the
    student's are not tried, nor are any but classifiers. It warns of a teacher that
    predicts one class only, of one whose images are normalised to another scale, of
    one whose classes are named otherwise than the data set's, and of a term without
    weight. Training is the same with and without it, bit by bit.

    Args:
        num_images: How many training images the teachers are tried on, by all
            processes together; 0 leaves that out. Defaults to 256.
        allow_chance: Warn of a teacher near chance, instead of refusing it. Defaults
            to False.

    Raises:
        ValueError: If ``num_images`` is negative. Before training: if a teacher is near
            chance, or has the data set's classes in another order and its logits are
            taught.
    """

    def __init__(self, num_images: int = 256, allow_chance: bool = False) -> None:
        if num_images < 0:
            raise ValueError(f'num_images must be at least 0, got {num_images}')
        self.num_images = num_images
        self.allow_chance = allow_chance

    def before_train(self, runner: Runner) -> None:
        """Look at the model and the data, and log what was found."""
        model: Any = unwrap(runner.model)
        if not getattr(model, 'terms', None):
            runner.logger.info('DistillationCheckHook: nothing is distilled')
            return
        # FlexibleRunner's strategies leave a share of the weights on each process
        sizes = measure_models(model) if isinstance(runner, Runner) else {}
        model.load_teachers()
        errors, warnings = check_classes(model, runner.train_dataloader.dataset)
        trial = self._try_teachers(runner, model)
        lines = ['What is distilled:']
        for name in (STUDENT, *model.teachers):
            parts = [describe_kind(model, name), *sizes.get(name, [])]
            if name in trial.counts:
                right, images, *_ = trial.counts[name]
                parts.append(f'right on {right} of {images} training images')
            elif name in trial.untried:
                parts.append(trial.untried[name])
            lines.append(f'  {name}: {", ".join(parts)}')
        lines.append(f"  task: the student's own loss x {model.task_weight:g}")
        lines += [f'  {name}: {describe_term(model, name)}' for name in model.terms]
        runner.logger.info('\n'.join(lines))
        warnings += trial.warnings
        for name, count in trial.counts.items():
            self._judge(model, name, count, errors, warnings)
        for name, term in model.terms.items():
            if getattr(term.loss, 'loss_weight', 1) == 0:
                warnings.append(
                    f"term '{name}' has loss_weight=0: nothing is learnt from it"
                )
        for warning in warnings:
            runner.logger.warning(warning)
        if errors:
            raise ValueError('\n'.join(errors))

    def _try_teachers(self, runner: Runner, model: Any) -> Trial:
        """Try the teachers, after saying so: a large one may take minutes."""
        tried = [n for n in model.teacher_taps if n not in find_untried(model)]
        dataset = runner.train_dataloader.dataset
        if tried and self.num_images and not isinstance(dataset, IterableDataset):
            images = min(self.num_images, len(dataset))
            runner.logger.info(
                f'Trying {", ".join(tried)} on {images} training images, '
                'before the first step (default_hooks.check.num_images)'
            )
        return try_teachers(
            runner.train_dataloader,
            model,
            self.num_images,
            runner.epoch,
            runner.logger.info,
        )

    def _judge(
        self,
        model: Any,
        name: str,
        count: Count,
        errors: list[str],
        warnings: list[str],
    ) -> None:
        """Say what a teacher's predictions show."""
        right, images, classes, always = count
        same = (
            '' if always is None else f' It predicted class {always} for all of them.'
        )
        if not near_chance(right, images, classes):
            if same:
                warnings.append(f"teacher '{name}' always predicts class {always}")
            return
        text = f'{chance_warning(name, right, images, classes)}.{same}'
        if self.allow_chance:
            warnings.append(text)
            return
        taught = logit_terms(model, name)
        what = f'its logits, by {", ".join(taught)}' if taught else 'its features only'
        errors.append(
            f'{text} Here {what} are taught; default_hooks.check.allow_chance=True '
            'trains under it all the same'
        )


def check_classes(model: Any, dataset: Any) -> tuple[list[str], list[str]]:
    """Compare the names of the teachers' classes with the data set's.

    Returns:
        Errors and warnings.
    """
    errors: list[str] = []
    warnings: list[str] = []
    data = dataset_classes(dataset)
    for name in model.teacher_taps:
        theirs = model.teachers[name].classes
        differ = None
        if data is not None and theirs is not None:
            differ = compare_classes(theirs, data)
        if differ is None:
            continue
        taught = logit_terms(model, name)
        if not differ.certain:
            if taught:
                warnings.append(
                    f"teacher '{name}' has other names for its classes than the "
                    f'training data: {differ.text}. Are they the same classes, in the '
                    'same order?'
                )
            continue
        text = (
            f"teacher '{name}' has the classes in another order than the training "
            f'data: {differ.text}'
        )
        if not taught:
            warnings.append(f'{text}. Only features are taught, so it does no harm')
            continue
        errors.append(
            f'{text}. The terms on logits ({", ".join(taught)}) would teach the wrong '
            'classes: give the data set the order of the teacher, or train the teacher '
            'on this data set; default_hooks.check=None if the names in its checkpoint '
            'are wrong'
        )
    return errors, warnings


def measure_models(model: Any) -> dict[str, list[str]]:
    """Tell what the student and the teachers with a model cost, by their names."""
    size = model.image_shape[1:]
    sides = {STUDENT: (model.student, size)}
    for name, teacher in model.teachers.items():
        if teacher.model is not None:
            sides[name] = teacher.model, teacher.input_size or size
    return {name: measure_model(*side) for name, side in sides.items()}


def measure_model(model: Any, size: Grid) -> list[str]:
    """Tell what a model costs."""
    told = [f'{count_parameters(model) / 1e6:.3g} M parameters']
    training = model.training
    model.eval()
    try:
        flops = count_flops(run_alone(model), size) / 1e9
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        # a model that can not be traced is still one that can be trained
        told.append(f'multiply-adds not counted ({type(error).__name__})')
    else:
        told.append(f'{flops:.3g} G multiply-adds at {size[0]}x{size[1]}')
    model.train(training)
    return told


def run_alone(model: Any) -> nn.Module:
    """Return a module that runs a model on images alone, and yields tensors."""
    return model if task_of(model).classifies else _Alone(model)


class _Alone(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(_tensors(task_of(self.model).run(self.model, inputs)))


def _tensors(value: Any) -> Iterator[Tensor]:
    """List the tensors of nested lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def describe_kind(model: Any, name: str) -> str:
    """Name what kind of model the student or a teacher is."""
    if name != STUDENT:
        return model.teachers[name].describe()
    return type(getattr(model.student, 'backbone', model.student)).__name__


def describe_term(model: Any, name: str) -> str:
    """Tell what is distilled into what by a term, and how."""
    spec, student, teacher = model.probe_features[name]
    term = model.terms[name]
    whose = f'{spec.teacher_name} ' if len(model.teachers) > 1 else ''
    parts = [
        f'{whose}{describe_tap(spec.teacher, teacher)} -> '
        f'{describe_tap(spec.student, student)}'
    ]
    if term.neck is not None:
        neck = type(term.neck).__name__
        parts.append(f'{neck} of {count_parameters(term.neck)} parameters')
    weight = getattr(term.loss, 'loss_weight', None)
    times = '' if weight is None else f' x {weight:g}'
    return ', '.join([*parts, f'{type(term.loss).__name__}{times}'])


def describe_tap(tap: Tap, tapped: Feature) -> str:
    """Tell a tap's path, what it yields for an image, and its grid."""
    tokens = '' if tap.tokens == 'patch' else f" '{tap.tokens}'"
    grid = f' on {tapped.hw[0]}x{tapped.hw[1]}' if tapped.hw else ''
    return f'{tap.name}{tokens} {tuple(tapped.value.shape[1:])}{grid}'
