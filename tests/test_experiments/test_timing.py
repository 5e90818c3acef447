from mmengine.config import Config

from mmvitkd.experiments.run import Setting
from mmvitkd.experiments.timing import epoch_steps


def test_steps_of_a_part_of_a_data_set_are_counted():
    digits = {
        'type': 'Digits',
        'split': 'trainval',
        'pipeline': [{'type': 'PackInputs'}],
    }
    part = {
        'type': 'HeldOutSplit',
        'num_val': 100,
        'num_labels': 210,
        'dataset': digits,
    }
    cfg = Config({'train_dataloader': {'batch_size': 50, 'dataset': part}})
    assert epoch_steps(Setting('part', cfg)) == 5
    assert epoch_steps(Setting('part', cfg), gpus=2) == 3
