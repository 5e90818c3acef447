from collections import Counter
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier

from mmvitkd.datasets.labels import count_labelled, count_labels
from mmvitkd.models.classifiers.classes import count_classes
from mmvitkd.models.classifiers.tasks import task_of
from mmvitkd.registry import HOOKS
from mmvitkd.utils.class_names import (
    dataset_classes,
    dataset_metainfo,
    find_moved,
)
from mmvitkd.utils.cli import unwrap

SHOWN = 10  # classes in a message


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Compare the data sets' labels with the classes of the model, before training.

    No image is read. It says how many images have labels, if not all, and warns of
    classes without training images, as a subset may lack some on purpose. Models that
    don't tell their number of classes, and data sets that don't tell their labels, are
    passed over. Of detectors and segmentors the number of the data set's classes is
    compared with that of the head, of pose estimators that of the key points.

    Raises:
        ValueError: Before training: if a label of the training or the validation data
            is none of the model's classes, or the two number the classes differently;
            if there are more than a detector's or segmentor's head tells apart.
    """

    priority = 'ABOVE_NORMAL'  # before hooks that show the model some images

    def before_train(self, runner: Runner) -> None:
        """Look at the labels of the training and the validation data."""
        model: Any = unwrap(runner.model)
        student = getattr(model, 'student', model)
        train = runner.train_dataloader.dataset
        task = task_of(student)
        if not task.classifies:  # of whose data only the classes are compared
            warning = None
            if getattr(model, 'task_weight', 1):
                warning = task.check_data(student, dataset_metainfo(train))
            if warning is not None:
                runner.logger.warning(warning)
            return
        if not isinstance(model, BaseClassifier):
            return
        counts = count_labels(train)
        if counts is not None and counts.total() != len(train):
            self._say_how_many(runner, model)
        classes = count_classes(student)
        if not classes:
            return
        names = dataset_classes(train)
        if counts is not None:
            require_range(counts, classes, 'training')
            missing = [i for i in range(classes) if not counts[i]]
            if missing:
                runner.logger.warning(missing_text(missing, classes, names))
        if runner.val_loop is None:
            return
        val = runner.val_dataloader.dataset
        if (counts := count_labels(val)) is not None:
            require_range(counts, classes, 'validation')
        theirs = dataset_classes(val)
        if names is not None and theirs is not None:
            require_same_order(names, theirs)

    def _say_how_many(self, runner: Runner, model: Any) -> None:
        """Tell a distiller and the log that images with and without labels come."""
        found = count_labelled(runner.train_dataloader.dataset)
        if found is None or found[0] == found[1]:
            return
        runner.logger.info(
            f'{found[0]} of {found[1]} training images have labels; losses that need '
            'them pass over the others'
        )
        if hasattr(model, 'partly_labelled'):
            model.partly_labelled = True


def require_range(counts: Counter[int], classes: int, which: str) -> None:
    """Refuse labels that are none of a model's classes.

    Raises:
        ValueError: If there are any; the first ones are named.
    """
    outside = sorted(label for label in counts if not 0 <= label < classes)
    if not outside:
        return
    shown = ', '.join(f'{label} ({counts[label]} images)' for label in outside[:SHOWN])
    low, high = min(counts), max(counts)
    if low == 1 and high == classes:
        advice = 'labels begin at 0, these at 1: subtract 1 from each'
    elif low < 0:
        advice = 'a label is the number of a class, from 0 on: correct them'
    else:
        advice = (
            f'set num_classes={high + 1} in the head and in the data_preprocessor, or '
            'correct the labels'
        )
    raise ValueError(
        f'the {which} data have the labels {shown}, but the model has {classes} '
        f'classes, numbered 0 to {classes - 1}: {advice}'
    )


def missing_text(missing: list[int], classes: int, names: Any) -> str:
    """Say which classes have no training image."""
    named = names is not None and len(names) == classes
    shown = [f"{i} ('{names[i]}')" if named else str(i) for i in missing[:SHOWN]]
    more = f' and {len(missing) - SHOWN} more' if len(missing) > SHOWN else ''
    return (
        f'{len(missing)} of {classes} classes have no training image: '
        f'{", ".join(shown)}{more}. They will not be learnt'
    )


def require_same_order(train: tuple[str, ...], val: tuple[str, ...]) -> None:
    """Refuse a validation set that numbers the classes otherwise.

    MMPretrain's ``CustomDataset`` does where its folder lacks a class.

    Raises:
        ValueError: If a name is at different places.
    """
    moved = find_moved(train, val)
    if not moved:
        return
    _, ours, theirs = moved[0]
    raise ValueError(
        f"the validation data number the classes otherwise: '{train[ours]}' is class "
        f'{theirs} there and {ours} in training, and so on, {len(moved)} in all. Does '
        'a folder lack a class? Give both the same metainfo=dict(classes=[...]), or '
        'take mmvitkd.ImageFolder, which numbers them once'
    )
