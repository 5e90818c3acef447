"""What the teachers predict for some training images, before the first step."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from mmvitkd.datasets.replayed_dataset import ReplayedDataset, seeded
from mmvitkd.models.classifiers.classes import (
    count_classes,
    has_one_label,
    is_multi_label,
    labels_of,
    logits_module,
)
from mmvitkd.models.classifiers.partial_labels import labelled_places
from mmvitkd.models.classifiers.tasks import task_of
from mmvitkd.models.utils import hard_labels

from .accuracy import stored_logits, watch_logits

BATCH = 64  # images at once, whatever the batch of training is
GLANCE = 16  # images that tell the scale of their pixels
PERIOD = 5.0  # seconds between two lines of progress
FAR = 10.0  # how many times the usual is another scale


class Count(NamedTuple):
    """On how many training images a teacher was right.

    ``always`` is the class that it predicted for all of them, if their labels vary.
    """

    right: int
    images: int
    classes: int
    always: int | None = None


class Trial(NamedTuple):
    """What came of it: the counts, why there are none, and what looks wrong."""

    counts: dict[str, Count]
    untried: dict[str, str]
    warnings: list[str]


def find_untried(model: Any) -> dict[str, str]:
    """Tell of which teachers no prediction can be counted, and why."""
    classes = count_classes(model.student)
    if not task_of(model.student).classifies:
        return dict.fromkeys(model.teacher_taps, 'not tried, as only classifiers are')
    if is_multi_label(model.student):
        reason = 'not tried, as an image may have several classes'
        return dict.fromkeys(model.teacher_taps, reason)
    if classes is None:
        reason = 'not tried, as the student does not tell its number of classes'
        return dict.fromkeys(model.teacher_taps, reason)
    if classes == 0:
        return dict.fromkeys(model.teacher_taps, 'not tried, as no logits are taught')
    untried = {}
    for name in model.teacher_taps:
        teacher = model.teachers[name]
        if teacher.model is not None:
            theirs = count_classes(teacher.model)
            if theirs is None and logits_module(teacher.model) is None:
                untried[name] = 'not tried, as it yields no logits'
            elif theirs not in (None, classes):
                untried[name] = (
                    f"not tried, as its {theirs} classes are none of the student's "
                    f'{classes}'
                )
        elif not logit_terms(model, name):
            untried[name] = "not tried, as it has no logits of the student's classes"
    return untried


def logit_terms(model: Any, teacher: str) -> list[str]:
    """List the terms that tap a teacher's logits of the student's classes."""
    classes = count_classes(model.student)
    classifies = task_of(model.student).classifies
    return [
        name
        for name, (spec, _, tapped) in model.probe_features.items()
        if spec.teacher_name == teacher
        and spec.teacher.tokens == 'patch'
        and (
            tapped.value.shape[1:] == (classes,)
            if classifies  # else those of every place, which a loss says
            else hasattr(model.terms[name].loss, 'exclusive')
        )
    ]


@torch.no_grad()
def try_teachers(
    loader: DataLoader,
    model: Any,
    images: int,
    epoch: int,
    tell: Callable[[str], None] = print,
) -> Trial:
    """Show the teachers some training images, without changing anything.

    Those whose predictions can't be counted are not run.

    Args:
        loader: Of the training.
        model: The distiller.
        images: How many, by all processes together.
        epoch: Of a replayed data set.
        tell: Takes a line of progress, if it takes long. Defaults to printing it.
    """
    untried = find_untried(model)
    dataset: Any = loader.dataset
    if not images or isinstance(dataset, IterableDataset):
        return Trial({}, untried, [])
    classes = count_classes(model.student) or 0
    tried = [name for name in model.teacher_taps if name not in untried]
    warnings: list[str] = []
    found: dict[str, list[Tensor]] = {name: [] for name in tried}
    labels: list[Tensor] = []
    images = min(images, len(dataset) if tried else GLANCE)
    began = time.monotonic()
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with seeded(get_rank()), torch.random.fork_rng(gpus):
        for number, batch in enumerate(draw_batches(loader, images, epoch)):
            data = model.data_preprocessor(batch, training=True)
            if number == 0:
                warnings = scale_warnings(model, data['inputs'])
            samples = data['data_samples'] or []
            places = labelled_places(samples)
            target = labels_of([samples[i] for i in places], model.student)
            if target is None and getattr(model, 'partly_labelled', False):
                target = data['inputs'].new_zeros(0, dtype=torch.long)
            if target is None:
                untried |= dict.fromkeys(tried, 'not tried, as images have no labels')
                tried = []
            if target is None or not tried:
                break
            one = has_one_label(target)
            labels.append(hard_labels(target, 'the check')[one])
            predictions = predict_teachers(model, data, classes, tried)
            for name in list(tried):
                if name in predictions:
                    found[name].append(predictions[name][places].argmax(1)[one])
                else:
                    tried.remove(name)
                    untried[name] = 'not tried, as it yields no logits'
            if time.monotonic() - began >= PERIOD:
                began = time.monotonic()
                done = min(sum(map(len, labels)) * get_world_size(), images)
                tell(f'Tried on {done} of {images} images')
    counts = {n: _count(torch.cat(found[n]), torch.cat(labels), classes) for n in tried}
    for name in tried:
        if not counts[name].images:
            del counts[name]
            untried[name] = 'not counted, as no image has one label'
    return Trial(counts, untried, warnings)


def _count(predictions: Tensor, labels: Tensor, classes: int) -> Count:
    """Count right predictions ``(B,)``, those of all processes together."""
    right = (predictions == labels).sum()
    chosen = predictions.bincount(minlength=classes)
    shown = labels.bincount(minlength=classes)
    for part in (right, chosen, shown):
        all_reduce(part)
    vary = int(shown.count_nonzero()) > 1 and int(chosen.count_nonzero()) == 1
    always = int(chosen.argmax()) if vary else None
    return Count(int(right), int(shown.sum()), classes, always)


def scale_warnings(model: Any, inputs: Tensor) -> list[str]:
    """Warn of teachers whose normalisation leaves pixels far from 0 and 1."""
    said = []
    for name, teacher in model.teachers.items():
        if teacher.model is not None:
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
    size = min(loader.batch_size or share, BATCH)
    for start in range(0, share, size):
        keys = mine[start : start + size]
        items = [dataset[(epoch, key) if replayed else key] for key in keys]
        yield loader.collate_fn(items)


def predict_teachers(
    model: Any, data: dict, classes: int, names: list[str]
) -> dict[str, Tensor]:
    """Return the logits ``(B, classes)`` of those of the teachers that have such."""
    outputs = {}
    with watch_logits(model) as logits:
        for name in names:
            outputs[name] = model.teachers[name].forward_unmasked(
                data['inputs'],
                model.data_preprocessor,
                model.teacher_taps[name],
                data['data_samples'],
            )
    found = {**stored_logits(outputs, classes), **logits}
    return {name: value for name, value in found.items() if value.shape[1] == classes}
