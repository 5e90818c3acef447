from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor


def scores_and_labels(
    data_samples: Sequence[dict[str, Any]], metric: object
) -> Iterator[tuple[Tensor, int]]:
    """Yield the predicted probabilities ``(K,)`` and the label of every sample.

    Args:
        data_samples: As MMEngine's evaluator hands them out.
        metric: What needs them, for the error.

    Raises:
        ValueError: If a sample has no scores, or not one label.
    """
    for sample in data_samples:
        if 'pred_score' not in sample or sample['gt_label'].numel() != 1:
            raise ValueError(
                f'{type(metric).__name__} needs pred_score (K) and one gt_label of '
                f'every sample, got {sorted(sample)}'
            )
        yield sample['pred_score'], sample['gt_label'].item()
