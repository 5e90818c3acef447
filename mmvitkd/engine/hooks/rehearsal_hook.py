import warnings
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from mmengine.evaluator import DumpResults
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.runner import Runner
from mmpretrain.models import BaseClassifier
from torch.utils.data import IterableDataset

from mmvitkd.datasets.replayed_dataset import ReplayedDataset, seeded
from mmvitkd.models.classifiers.tasks import task_of
from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.spelling import suggest

IMAGES = 2
LIBRARIES = ('mmpretrain', 'mmvitkd', 'mmengine', 'mmcv', 'torchvision')


@HOOKS.register_module()
class RehearsalHook(Hook):
    """Put two images through the pipelines, the validation and its metrics.

    Before the first step: a wrong argument of a transform would show in a process of
    the data loader, one of a metric after the first epoch. Metrics of the user's own,
    which two images may not be enough for, are left out, and so are data sets and
    transforms of the user's own where processes are forked to load them.

    Raises:
        ConfigError: Before training, if a checkpoint's ``save_best`` or early stopping
            waits for a metric that validation does not yield.
    """

    priority = 'LOW'  # behind hooks that look for what they can name better

    def before_train(self, runner: Runner) -> None:
        """Rehearse the training data and the validation."""
        samples_of(runner.train_dataloader, 'training')
        if runner.val_loop is not None:
            metrics = rehearse(runner.model, runner.val_loop, 'validation')
            if metrics is not None:
                added = (getattr(hook, 'added_metrics', ()) for hook in runner.hooks)
                require_metrics(runner, {*metrics, *chain.from_iterable(added)})

    def before_test(self, runner: Runner) -> None:
        """Rehearse the test."""
        rehearse(runner.model, runner.test_loop, 'test')


def samples_of(loader: Any, which: str) -> list[Any]:
    """Return a few samples; none of data sets that can't be asked for single ones.

    Raises:
        ConfigError: If a data set is empty.
    """
    dataset = loader.dataset
    if isinstance(dataset, (IterableDataset, ReplayedDataset)):
        return []
    if loader.num_workers and not all(map(_may_be_opened, _parts(dataset))):
        return []
    if not len(dataset):
        raise ConfigError(f'the {which} data set has no images')
    with seeded(0):  # and leave the streams as they are
        return [dataset[i] for i in range(min(IMAGES, len(dataset)))]


def _parts(dataset: Any) -> Iterator[Any]:
    """Go through a data set, those that it wraps, and their transforms."""
    yield dataset
    yield from getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    inner = getattr(dataset, 'dataset', None)
    for one in getattr(dataset, 'datasets', [] if inner is None else [inner]):
        yield from _parts(one)


def _may_be_opened(part: Any) -> bool:
    """Whether a part may be used before the loader's processes are forked.

    A file that it opens would be theirs, too, which LMDB and HDF5 do not bear.
    """
    known = type(part).__module__.split('.')[0] in LIBRARIES
    return known and 'lmdb' not in str(getattr(part, 'backend_args', ''))


def rehearse(model: Any, loop: Any, which: str) -> dict[str, Any] | None:
    """Validate a classifier on a few images.

    Returns:
        The metrics; None if some can't be known, or the model is no classifier.
    """
    samples = samples_of(loop.dataloader, which)
    inner: Any = unwrap(model)
    if not samples or not isinstance(inner, BaseClassifier):
        return None
    # a distiller is a classifier, whatever its student
    if not task_of(getattr(inner, 'student', inner)).classifies:
        return None
    training = model.training
    model.eval()
    with torch.no_grad(), seeded(0), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of few images
        batch = loop.dataloader.collate_fn(samples)
        # test-time augmentation has this step alone, the others have it as validation's
        found = [sample.to_dict() for sample in model.test_step(batch)]
        model.train(training)
        every = loop.evaluator.metrics
        known = [m for m in every if _is_known(m)]
        results: dict[str, Any] = {}
        for metric in known:
            metric.process(batch, found)
            results |= metric.evaluate(len(found))
    return results if len(known) == len(every) else None


def _is_known(metric: Any) -> bool:
    library = type(metric).__module__.split('.')[0]
    return library in LIBRARIES and not isinstance(metric, DumpResults)


def require_metrics(runner: Runner, metrics: set[str]) -> None:
    """Refuse hooks that wait for a metric that there will not be.

    Raises:
        ConfigError: If there is one.
    """
    for hook in runner.hooks:
        wanted: list[str] = []
        if isinstance(hook, CheckpointHook) and hook.save_best:
            place, wanted = 'default_hooks.checkpoint.save_best', hook.key_indicators
        elif isinstance(hook, EarlyStoppingHook):
            place, wanted = "EarlyStoppingHook's monitor", [hook.monitor]
        for name in wanted:
            if name != 'auto' and name not in metrics:
                raise ConfigError(
                    f"{place}='{name}': validation yields no such metric, but "
                    f'{", ".join(sorted(metrics))}{suggest(name, metrics)}'
                )
