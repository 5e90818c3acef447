from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmvitkd.registry import METRICS

from .samples import scores_and_labels


@METRICS.register_module()
class ExpectedCalibrationError(BaseMetric):
    r"""How far a classifier's confidence is from its accuracy, as in `On Calibration of
    Modern Neural Networks <https://arxiv.org/abs/1706.04599>`_.

    .. math::
        ECE = \sum_{m=1}^{M} \frac{|B_m|}{n} |acc(B_m) - conf(B_m)|

    The images are put into :math:`M` bins of equal width by the probability of the
    predicted class; of each bin it is the difference between the share of right
    predictions and the mean of these probabilities. Other arguments as for MMEngine's
    ``BaseMetric``; the result is ``'ece'``, in percent.

    Args:
        bins: :math:`M`. Defaults to 15.

    Raises:
        ValueError: If ``bins`` is no whole number of at least 1.
    """

    def __init__(self, bins: int = 15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
            raise ValueError(f'bins must be a whole number of at least 1, got {bins!r}')
        self.bins = bins

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep every image's confidence, and whether its class is the label.

        Raises:
            ValueError: If a sample has no scores, or not one label.
        """
        for scores, label in scores_and_labels(data_samples, self):
            confidence, predicted = scores.max(0)
            self.results.append((confidence.item(), predicted.item() == label))

    def compute_metrics(self, results: list[tuple[float, bool]]) -> dict[str, float]:
        """Compare confidence and accuracy bin by bin."""
        confidence, right = torch.tensor(results, dtype=torch.float64).unbind(1)
        # a bin has its upper edge: a confidence of 1 is of the last
        place = (confidence * self.bins).ceil().long().clamp(1, self.bins) - 1
        excess = torch.zeros(self.bins, dtype=torch.float64)
        excess.index_add_(0, place, right - confidence)
        return {'ece': 100 * excess.abs().sum().item() / len(results)}
