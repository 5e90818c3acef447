from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from mmvitkd.registry import METRICS

from .samples import scores_and_labels


@METRICS.register_module()
class NegativeLogLikelihood(BaseMetric):
    r"""The loss on labels that a classifier is tested with.

    .. math::
        NLL = - \frac{1}{n} \sum_{i=1}^{n} \log p_i(y_i)

    It is the cross entropy with the predicted probabilities, so it tells, beside the
    accuracy, how sure the right answers and the wrong ones are. Arguments as for
    MMEngine's ``BaseMetric``; the result is ``'nll'``, in nats.
    """

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep every image's value.

        Raises:
            ValueError: If a sample has no scores, or not one label.
        """
        for scores, label in scores_and_labels(data_samples, self):
            score = scores[label]
            tiny = torch.finfo(score.dtype).tiny  # a probability may round to 0
            self.results.append(-score.clamp(min=tiny).log().item())

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Average them."""
        return {'nll': sum(results) / len(results)}
