"""The images that features are probed on: labelled ones, as the test prepares them."""

import pytest
from mmengine.registry import DefaultScope
from torch.utils.data import Subset

from mmvitkd.datasets.labelled import labelled_subset, pipeline_of, with_pipeline

TEST = [{'type': 'Resize', 'scale': 16}, {'type': 'PackInputs'}]
TRAIN = [{'type': 'RandomFlip', 'prob': 0.5}, {'type': 'PackInputs'}]
DIGITS = {'type': 'Digits', 'split': 'train', 'pipeline': TRAIN}
HELD_OUT = {'type': 'mmvitkd.HeldOutSplit', 'num_val': 20, 'dataset': DIGITS}
BOTH = {'type': 'ConcatDataset', 'datasets': [DIGITS, HELD_OUT]}
REPEATED = {'type': 'RepeatDataset', 'times': 3, 'dataset': DIGITS}


def test_every_wrapped_data_set_gets_the_pipeline():
    changed = with_pipeline(BOTH, TEST)
    assert changed['datasets'][0]['pipeline'] == TEST
    assert changed['datasets'][1]['dataset']['pipeline'] == TEST
    assert DIGITS['pipeline'] == TRAIN  # as it was
    assert pipeline_of(BOTH) == TRAIN
    assert with_pipeline(REPEATED, TEST) == {**DIGITS, 'pipeline': TEST}
    with pytest.raises(ValueError, match='Nothing has no pipeline'):
        pipeline_of({'type': 'Nothing'})


def test_a_part_holds_every_class():
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        whole = labelled_subset(DIGITS)
        part = labelled_subset(DIGITS, 40)
    assert len(whole) == 700 and not isinstance(whole, Subset)
    labels = [whole.get_data_info(i)['gt_label'] for i in part.indices]
    assert len(part) == 40 and len(set(labels)) == 10
