import math

import pytest
import torch
from mmpretrain.structures import DataSample

from mmvitkd.evaluation import NegativeLogLikelihood


def sample(scores: list[float], *labels: int) -> dict:
    found = DataSample().set_pred_score(torch.tensor(scores))
    return found.set_gt_label(torch.tensor(labels)).to_dict()


def evaluate(samples: list[dict]) -> float:
    metric = NegativeLogLikelihood()
    metric.process(None, samples)
    return metric.evaluate(len(samples))['nll']


def test_by_hand():
    """Probabilities 1/2 and 1/8: ln 2 and 3 ln 2, whose mean is 2 ln 2."""
    found = evaluate([sample([0.5, 0.5], 0), sample([0.875, 0.125], 1)])
    assert found == pytest.approx(2 * math.log(2))


def test_it_is_the_cross_entropy_that_the_head_trains_with():
    logits, labels = torch.randn(5, 4), [0, 3, 1, 2, 2]
    samples = [
        sample(row.tolist(), label)
        for row, label in zip(logits.softmax(1), labels, strict=True)
    ]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    assert evaluate(samples) == pytest.approx(expected.item(), rel=1e-5)


def test_a_probability_that_rounds_to_zero_stays_finite():
    assert math.isfinite(evaluate([sample([1.0, 0.0], 1)]))


@pytest.mark.parametrize(
    'bad', [{'gt_label': torch.tensor([1])}, sample([0.5, 0.5], 0, 1)]
)
def test_samples_without_scores_or_with_several_labels(bad):
    with pytest.raises(ValueError, match='needs pred_score'):
        evaluate([bad])
