from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from mmvitkd.datasets.replayed_dataset import ReplayedDataset, seeded
from mmvitkd.models.classifiers import CachedTeacher, MaskedTeacher, Teacher
from mmvitkd.models.classifiers.tap import Grid, Tap, Tapped
from mmvitkd.models.classifiers.teacher import natural_input_size
from mmvitkd.models.classifiers.vitkd_distiller import labels_of
from mmvitkd.models.utils import hard_labels
from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.costs import count_flops, count_parameters

from .accuracy import (
    STUDENT,
    chance_warning,
    count_classes,
    near_chance,
    stored_logits,
    watch_logits,
)

FAR = 10.0  # how many times the usual is another scale


class Count(NamedTuple):
    """On how many training images a teacher was right."""

    right: int
    images: int
    classes: int


@HOOKS.register_module()
class DistillationCheckHook(Hook):
    """Say before the first step what is distilled into what, and try the teachers.

    The log shows student and teachers with their parameters and multiply-adds, the
    teachers' accuracy on some training images, as augmented and mixed as in training
    (a ``MaskedTeacher``'s on whole ones), and of every term the taps, their shapes and
    grids, the neck, the loss and its weight. It warns of a teacher near chance, of one
    whose images are normalised to another scale, and of a term without weight. Training
    is the same with and without it, bit by bit.

    Args:
        num_images: How many training images the teachers are tried on, by all
            processes together; 0 leaves that out. Defaults to 256.

    Raises:
        ValueError: If ``num_images`` is negative.
    """

    def __init__(self, num_images: int = 256) -> None:
        if num_images < 0:
            raise ValueError(f'num_images must be at least 0, got {num_images}')
        self.num_images = num_images

    def before_train(self, runner: Runner) -> None:
        """Look at the model and the data, and log what was found."""
        model: Any = unwrap(runner.model)
        if not getattr(model, 'terms', None):
            runner.logger.info('DistillationCheckHook: nothing is distilled')
            return
        # FlexibleRunner's strategies leave a share of the weights on each process
        sizes = measure_models(model) if isinstance(runner, Runner) else {}
        counts, warnings = self._try_teachers(runner, model)
        lines = ['What is distilled:']
        for name in (STUDENT, *model.teachers):
            parts = [describe_kind(model, name), *sizes.get(name, [])]
            if name in counts:
                right, images, _ = counts[name]
                parts.append(f'right on {right} of {images} training images')
            lines.append(f'  {name}: {", ".join(parts)}')
        lines.append(f"  task: the student's own loss x {model.task_weight:g}")
        lines += [f'  {name}: {describe_term(model, name)}' for name in model.terms]
        runner.logger.info('\n'.join(lines))
        for name, count in counts.items():
            if near_chance(*count):
                warnings.append(chance_warning(name, *count))
        for name, term in model.terms.items():
            if getattr(term.loss, 'loss_weight', 1) == 0:
                warnings.append(
                    f"term '{name}' has loss_weight=0: nothing is learnt from it"
                )
        for warning in warnings:
            runner.logger.warning(warning)

    @torch.no_grad()
    def _try_teachers(
        self, runner: Runner, model: Any
    ) -> tuple[dict[str, Count], list[str]]:
        """Show the teachers some images: count right answers, look at the scale."""
        loader = runner.train_dataloader
        if not self.num_images or isinstance(loader.dataset, IterableDataset):
            return {}, []
        classes = count_classes(model.student)
        model.load_teachers()
        right: dict[str, Tensor] = {}
        warnings: list[str] = []
        seen = 0
        gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with seeded(get_rank()), torch.random.fork_rng(gpus):
            for batch in draw_batches(loader, self.num_images, runner.epoch):
                data = model.data_preprocessor(batch, training=True)
                warnings = warnings or scale_warnings(model, data['inputs'])
                target = labels_of(data['data_samples'])
                if target is None or classes is None:
                    break
                seen += len(target)
                label = hard_labels(target, type(self).__name__)
                for name, logits in ask_teachers(model, data, classes).items():
                    hits = (logits.argmax(1) == label).sum()
                    right[name] = right.get(name, 0) + hits
        for hits in right.values():
            all_reduce(hits)
        of = seen * get_world_size(), classes or 0
        return {n: Count(int(hits), *of) for n, hits in right.items()}, warnings


def scale_warnings(model: Any, inputs: Tensor) -> list[str]:
    """Warn of teachers whose normalisation leaves pixels far from 0 and 1."""
    said = []
    for name, teacher in model.teachers.items():
        if isinstance(teacher, Teacher):
            pixels = teacher.prepare(inputs, model.data_preprocessor).float()
            mean, std = float(pixels.mean()), float(pixels.std())
            if abs(mean) > FAR or not 1 / FAR < std < FAR:
                said.append(
                    f"teacher '{name}' gets pixels of mean {mean:.3g} and standard "
                    f'deviation {std:.3g}, where about 0 and 1 are usual: the mean and '
                    'std of a data_preprocessor are for pixels from 0 to 255, such as '
                    '[123.675, 116.28, 103.53]'
                )
    return said


def draw_batches(loader: DataLoader, images: int, epoch: int) -> Iterator[Any]:
    """Draw this process's share of some training images, without the data loader.

    Every process gets as many batches, as its forwards may wait for the others'.
    """
    dataset: Any = loader.dataset
    replayed = isinstance(dataset, ReplayedDataset)
    if replayed:
        dataset.set_epoch(epoch)
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(dataset), generator=draw).tolist()
    share = -(-min(images, len(dataset)) // get_world_size())
    mine = [order[(get_rank() * share + i) % len(order)] for i in range(share)]
    size = loader.batch_size or share
    for start in range(0, share, size):
        keys = mine[start : start + size]
        items = [dataset[(epoch, key) if replayed else key] for key in keys]
        yield loader.collate_fn(items)


def ask_teachers(model: Any, data: dict, classes: int) -> dict[str, Tensor]:
    """Return the logits ``(B, classes)`` of the teachers that have such."""
    answers = {}
    with watch_logits(model) as logits:
        for name, taps in model.teacher_taps.items():
            teacher = model.teachers[name]
            ask = teacher.unmasked if isinstance(teacher, MaskedTeacher) else teacher
            answers[name] = ask(
                data['inputs'], model.data_preprocessor, taps, data['data_samples']
            )
    found = {**stored_logits(answers, classes), **logits}
    return {name: value for name, value in found.items() if value.shape[1] == classes}


def measure_models(model: Any) -> dict[str, list[str]]:
    """Tell what the student and the teachers with a model cost, by their names."""
    size = natural_input_size(model.student) or (224, 224)
    sides = {STUDENT: (model.student, size)}
    for name, teacher in model.teachers.items():
        if isinstance(teacher, Teacher):
            sides[name] = teacher.model, teacher.input_size or size
    return {name: measure_model(*side) for name, side in sides.items()}


def measure_model(model: Any, size: Grid) -> list[str]:
    """Tell what a classifier costs."""
    told = [f'{count_parameters(model) / 1e6:.3g} M parameters']
    training = model.training
    model.eval()
    try:
        flops = count_flops(model, size) / 1e9
    except (RuntimeError, TypeError, ValueError) as error:
        # a model that can not be traced is still one that can be trained
        told.append(f'multiply-adds not counted ({type(error).__name__})')
    else:
        told.append(f'{flops:.3g} G multiply-adds at {size[0]}x{size[1]}')
    model.train(training)
    return told


def describe_kind(model: Any, name: str) -> str:
    """Name what kind of model the student or a teacher is."""
    side = model.student if name == STUDENT else model.teachers[name]
    if isinstance(side, CachedTeacher):
        return f"stored answers in '{side.cache.path}'"
    classifier = side.model if isinstance(side, Teacher) else side
    return type(getattr(classifier, 'backbone', classifier)).__name__


def describe_term(model: Any, name: str) -> str:
    """Tell what is distilled into what by a term, and how."""
    spec, student, teacher = model.tried[name]
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


def describe_tap(tap: Tap, tapped: Tapped) -> str:
    """Tell a tap's path, what it yields for an image, and its grid."""
    tokens = '' if tap.tokens == 'patch' else f" '{tap.tokens}'"
    grid = f' on {tapped.hw[0]}x{tapped.hw[1]}' if tapped.hw else ''
    return f'{tap.path}{tokens} {tuple(tapped.value.shape[1:])}{grid}'
