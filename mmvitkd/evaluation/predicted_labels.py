from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmvitkd.registry import METRICS

from .samples import scores_and_labels


@METRICS.register_module()
class PredictedLabels(BaseMetric):
    """Write every image's predicted class and its label, ``(2, N)``, to a file.

    In the order of the data set, as the smallest integers that hold them, so that two
    classifiers can be compared image by image. Other arguments as for MMEngine's
    ``BaseMetric``; there is no figure.

    Args:
        out: The ``.npy`` file.

    Raises:
        ValueError: If ``out`` is another kind of file.
    """

    def __init__(self, out: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not out.endswith('.npy'):
            raise ValueError(f"out='{out}': must be a .npy file")
        self.out = out

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep every image's two.

        Raises:
            ValueError: If a sample has no scores, or not one label.
        """
        for scores, label in scores_and_labels(data_samples, self):
            self.results.append((int(scores.argmax()), label))

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """Write them."""
        table = np.array(results).T  # (2, N)
        np.save(self.out, table.astype(np.min_scalar_type(table.max())))
        return {}
