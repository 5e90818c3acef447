from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor

from mmvitkd.datasets.labelled import labelled_subset, pipeline_of, with_pipeline
from mmvitkd.evaluation.probing import (
    Features,
    extract_features,
    knn_accuracy,
    label_of,
    linear_accuracy,
)
from mmvitkd.models.classifiers.pooled import pooled_features
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.models.utils import check_count, check_positive
from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap


@HOOKS.register_module()
class FeatureProbeHook(Hook):
    """Judge the features of a training without labels, beside its validation.

    At every validation the images of the validation set are classified by their nearest
    neighbours among labelled training images, as in `DINO
    <https://arxiv.org/abs/2104.14294>`_, and, if wanted, by a logistic regression on
    frozen features. To the validation's figures come ``knn<k>/top1`` and
    ``linear/top1``, in percent, which the log shows and ``save_best`` may name. Nothing
    is learnt from these labels, and training is the same with and without it. Averaged
    weights (EMA) are judged where the validation judges them. A student without a head
    is validated by this alone: ``val_evaluator=[]``.

    It costs a forward of every image of both sets. All processes share the work.

    Args:
        k: Number of neighbours, or several. Defaults to 20.
        temperature: Of their votes. Defaults to 0.07.
        linear: Whether to fit a logistic regression, too. Defaults to False.
        dataset: Config of the labelled images. Defaults to None: the training set, as
            the validation prepares its images.
        max_images: How many of them at most, of every class in its proportion. Defaults
            to None: all.
        tap: Where to look, as a term's tap. Defaults to None: what the student's last
            layer takes.
        batch_size: Of one forward. Defaults to None: the validation's.

    Raises:
        ValueError: If an argument is out of range. Before training: if there is no
            validation, or no labelled image.
    """

    priority = 'HIGHEST'  # so that its figures are logged, and averaged weights judged

    def __init__(
        self,
        k: int | Sequence[int] = 20,
        temperature: float = 0.07,
        linear: bool = False,
        dataset: dict | None = None,
        max_images: int | None = None,
        tap: str | dict | None = None,
        batch_size: int | None = None,
    ) -> None:
        given = [k] if isinstance(k, int) else list(k)
        self.k = [check_count('k', number) for number in given]
        if not self.k and not linear:
            raise ValueError('FeatureProbeHook: without k and linear it does nothing')
        self.temperature = check_positive('temperature', temperature)
        self.linear = linear
        self.dataset = dataset
        self.max_images = max_images and check_count('max_images', max_images)
        self.tap = None if tap is None else Tap.parse(tap)
        self.batch_size = batch_size and check_count('batch_size', batch_size)
        self._labelled: Any = None

    @property
    def added_metrics(self) -> list[str]:
        """The names of the figures that it adds to the validation's."""
        linear = ['linear/top1'] if self.linear else []
        return [f'knn{number}/top1' for number in self.k] + linear

    def before_train(self, runner: Runner) -> None:
        """Open the labelled images.

        Raises:
            ValueError: If there is no validation, or fewer neighbours than ``k``.
        """
        if runner.val_loop is None:
            raise ValueError(
                'FeatureProbeHook adds to the validation, which this run has not: give '
                'val_dataloader, val_cfg and val_evaluator'
            )
        if not isinstance(runner, Runner):
            raise ValueError(
                'FeatureProbeHook needs the whole student, of which FSDP and DeepSpeed '
                'leave a part on each process: probe the checkpoints by '
                'python -m mmvitkd probe'
            )
        dataset = self.dataset
        if dataset is None:
            pipeline = pipeline_of(runner.cfg.val_dataloader.dataset)
            dataset = with_pipeline(runner.cfg.train_dataloader.dataset, pipeline)
        scope = runner.cfg.get('default_scope', 'mmpretrain')
        with DefaultScope.overwrite_default_scope(scope):
            self._labelled = labelled_subset(dataset, self.max_images)
        if self.k and max(self.k) > len(self._labelled):
            raise ValueError(
                f'FeatureProbeHook(k={max(self.k)}): there are {len(self._labelled)} '
                'labelled images, so give fewer neighbours'
            )

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Add the figures to those of the validation."""
        if metrics is None or self._labelled is None:
            return
        loader = runner.val_dataloader
        train = self._features(runner, self._labelled)
        test = self._features(runner, loader.dataset)
        device = next(runner.model.parameters()).device
        if self.k:
            found = knn_accuracy(train, test, self.k, self.temperature, device)
            metrics |= {f'knn{number}/top1': top1 for number, top1 in found.items()}
        if self.linear:
            metrics['linear/top1'] = linear_accuracy(train, test, device=device).top1

    def _features(self, runner: Runner, dataset: Any) -> Features:
        """Compute the student's features of all images of a data set."""
        model: Any = unwrap(runner.model)
        student = getattr(model, 'student', model)

        def forward(samples: list[Any]) -> tuple[Tensor, list[int]]:
            data = model.data_preprocessor(pseudo_collate(samples), False)
            vectors = pooled_features(student, data['inputs'], self.tap)
            return vectors, [label_of(sample) for sample in data['data_samples']]

        loader = runner.val_dataloader
        size = self.batch_size or loader.batch_size or 1
        training = student.training
        student.eval()
        with torch.no_grad():
            found = extract_features(dataset, forward, size, loader.num_workers)
        student.train(training)
        return found
