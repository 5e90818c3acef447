import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmvitkd.evaluation import PredictedLabels


def sample(predicted: int, label: int, classes: int) -> dict:
    scores = torch.zeros(classes)
    scores[predicted] = 1
    return DataSample().set_pred_score(scores).set_gt_label(label).to_dict()


@pytest.mark.parametrize(('classes', 'kind'), [(256, np.uint8), (257, np.uint16)])
def test_both_are_written_in_the_order_of_the_images(tmp_path, classes, kind):
    metric = PredictedLabels(str(tmp_path / 'labels.npy'))
    last = classes - 1
    metric.process(None, [sample(1, 0, classes), sample(last, 2, classes)])
    metric.process(None, [sample(0, 0, classes)])
    assert metric.evaluate(3) == {}
    found = np.load(tmp_path / 'labels.npy')
    assert found.tolist() == [[1, last, 0], [0, 2, 0]]
    assert found.dtype == kind


def test_other_files_are_refused():
    with pytest.raises(ValueError, match="out='labels.pkl': must be a .npy file"):
        PredictedLabels('labels.pkl')
