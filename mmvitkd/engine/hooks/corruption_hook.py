from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from torch.utils.data import Subset

from mmvitkd.datasets.corrupt import CORRUPTIONS, Corrupt
from mmvitkd.models.utils import check_count
from mmvitkd.registry import HOOKS


@HOOKS.register_module()
class CorruptionHook(Hook):
    """Test a classifier on corrupted test images, too.

    After the test on the clean ones, every image is seen under each corruption, as
    :class:`~mmvitkd.datasets.Corrupt` makes it. To the test's figures come
    ``corrupted/<corruption>``, the top-1 accuracy under each of them in percent, and
    ``corrupted/top1``, their mean: 100 minus it is a mean corruption error that is not
    weighed by another model's. It stands in ``default_hooks``, where the runs that tune
    a comparison leave it out.

    With ``images`` it costs ``images * len(corruptions)`` predictions. All models and
    runs with the same settings see the same pixels.

    Args:
        corruptions: Their names. Defaults to all six.
        severity: From 1 to 5. Defaults to 3.
        images: Of how many of the test images at most, drawn by ``seed``. Defaults to
            None: of all.
        seed: Of the choice and of noise. Defaults to 0.

    Raises:
        ValueError: If an argument is none of these. When testing: if the data set has
            no pipeline of its own.
    """

    priority = 'HIGHEST'  # so that its figures are logged, and averaged weights tested

    def __init__(
        self,
        corruptions: Sequence[str] = tuple(CORRUPTIONS),
        severity: int = 3,
        images: int | None = None,
        seed: int = 0,
    ) -> None:
        if not corruptions:
            raise ValueError(f'corruptions must name some of {[*CORRUPTIONS]}')
        self.corruptions = {name: Corrupt(name, severity, seed) for name in corruptions}
        self.images = None if images is None else check_count('images', images)
        self.seed = seed

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Test once more, under each corruption."""
        if metrics is None:
            return
        dataset = runner.test_dataloader.dataset
        places = self._places(len(dataset))
        runner.logger.info(
            f'testing on {len(places)} images under {len(self.corruptions)} corruptions'
        )
        found = {
            f'corrupted/{name}': _top1(runner, Subset(_with(dataset, corrupt), places))
            for name, corrupt in self.corruptions.items()
        }
        metrics.update(found)
        metrics['corrupted/top1'] = sum(found.values()) / len(found)

    def _places(self, count: int) -> list[int]:
        """Choose the images."""
        order = np.random.RandomState(self.seed).permutation(count)
        return sorted(order[: self.images].tolist())


def _with(dataset: Any, corrupt: Corrupt) -> Any:
    """Return a data set whose images are corrupted before they are packed."""
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', None)
    if not steps:
        raise ValueError(
            f'CorruptionHook: {type(dataset).__name__} has no pipeline, into which '
            'images could be corrupted'
        )
    changed = copy(dataset)
    changed.pipeline = Compose([*steps[:-1], corrupt, steps[-1]])
    return changed


@torch.no_grad()
def _top1(runner: Runner, dataset: Subset) -> float:
    """Test on other images, as the test does; its hooks hear nothing of it."""
    cfg = {**runner.cfg.test_dataloader, 'dataset': dataset}
    evaluator = runner.build_evaluator({'type': 'mmpretrain.Accuracy', 'topk': 1})
    for batch in runner.build_dataloader(cfg, seed=runner.seed):
        with autocast(enabled=runner.test_loop.fp16):
            samples = runner.model.test_step(batch)
        evaluator.process(data_samples=samples, data_batch=batch)
    return evaluator.evaluate(len(dataset))['accuracy/top1']
