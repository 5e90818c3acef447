import pytest
import torch
from mmpretrain.structures import DataSample

from mmvitkd.evaluation import ExpectedCalibrationError


def sample(confidence: float, right: bool) -> dict:
    """An image of two classes, the predicted one being class 0."""
    scores = torch.tensor([confidence, 1 - confidence], dtype=torch.float64)
    label = torch.tensor([0 if right else 1])
    return DataSample().set_pred_score(scores).set_gt_label(label).to_dict()


def evaluate(samples: list[dict], **kwargs) -> float:
    metric = ExpectedCalibrationError(**kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))['ece']


def test_by_hand():
    """Two of four in (0.5, 0.75] with confidence 0.6 and 0.7, one of them right: 0.15
    off; two in (0.75, 1] with 0.8 and 1, both right: 0.1 off."""
    found = [sample(0.6, True), sample(0.7, False), sample(0.8, True), sample(1, True)]
    assert evaluate(found, bins=4) == pytest.approx(100 * (0.15 + 0.1) / 2)


def test_one_bin_is_accuracy_against_mean_confidence():
    """Too sure in one place and not enough in another cancel out there only."""
    found = [sample(0.6, True), sample(0.9, False)]
    assert evaluate(found, bins=1) == pytest.approx(25)
    assert evaluate(found, bins=2) == pytest.approx(25)
    assert evaluate(found, bins=4) == pytest.approx(100 * (0.4 + 0.9) / 2)


def test_an_edge_belongs_to_the_bin_below():
    """0.75 beside 0.6, not beside 0.9: |1 - 0.75 + 0 - 0.6| + |0 - 0.9|."""
    found = [sample(0.75, True), sample(0.6, False), sample(0.9, False)]
    assert evaluate(found, bins=4) == pytest.approx(100 * (0.35 + 0.9) / 3)


def test_perfectly_calibrated_is_zero():
    found = [sample(0.75, right) for right in (True, True, True, False)]
    assert evaluate(found) == pytest.approx(0)


@pytest.mark.parametrize('bins', [0, -1, 2.5, True, 'ten'])
def test_bins_are_a_whole_number(bins):
    with pytest.raises(ValueError, match='bins must be a whole number of at least 1'):
        ExpectedCalibrationError(bins=bins)


def test_samples_without_scores_or_with_several_labels():
    several = {**sample(0.5, True), 'gt_label': torch.tensor([0, 1])}
    for bad in ({'gt_label': torch.tensor([1])}, several):
        with pytest.raises(ValueError, match='needs pred_score'):
            evaluate([bad])
