from typing import Any

from mmengine.dataset import BaseDataset

from mmvitkd.registry import DATASETS

LABELS = ('gt_label', 'gt_score')


@DATASETS.register_module(name='WithoutLabels')
def without_labels(dataset: dict) -> BaseDataset:
    """Build a data set whose images have no labels any more, nor classes.

    What is built is the data set itself, so whatever works on it works on this.

    Args:
        dataset: Config of a data set.
    """
    built: Any = DATASETS.build(dataset)
    built.full_init()
    infos = [built.get_data_info(i) for i in range(len(built))]
    for info in infos:
        for label in LABELS:
            info.pop(label, None)
        info.pop('sample_idx', None)  # which get_data_info added
    built.data_list = infos
    if built.serialize_data:
        built.data_bytes, built.data_address = built._serialize_data()
    built._metainfo.pop('classes', None)
    return built
