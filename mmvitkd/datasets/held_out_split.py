from typing import Any

from mmengine.dataset import BaseDataset

from mmvitkd.registry import DATASETS

from .labels import single_labels
from .stratified import check_num_labels, split_order

SPLITS = ('train', 'val', 'trainval')


@DATASETS.register_module(name='HeldOutSplit')
def held_out_split(
    dataset: dict, num_val: int, split: str = 'train', num_labels: int | None = None
) -> BaseDataset:
    """Build a data set's training images without those held out to validate, or these.

    For data sets that come with training and test images only. The parts hold the
    classes in the whole's proportions, are the same on every machine, and don't
    overlap; a smaller ``num_labels`` is contained in every larger one, whatever
    ``num_val`` is. What is built is the data set itself, so whatever works on it works
    on its part.

    Args:
        dataset: Config of the training images, of one label each, with the pipeline.
        num_val: How many images are held out.
        split: ``'train'``, ``'val'`` (the images held out) or ``'trainval'`` (all).
            Defaults to ``'train'``.
        num_labels: Keep only so many images of ``'train'``. Defaults to None, which
            keeps all.

    Raises:
        ValueError: If an argument is none of the above, or a sample has not one label.
    """
    if split not in SPLITS:
        raise ValueError(f'split={split!r}: must be one of {sorted(SPLITS)}')
    built: Any = DATASETS.build(dataset)
    labels = single_labels(built)
    classes = len(set(labels.tolist()))
    is_count = isinstance(num_val, int) and not isinstance(num_val, bool)
    if not is_count or not classes <= num_val <= len(labels) - classes:
        raise ValueError(
            f'num_val={num_val!r}: must be a whole number from {classes} (one of each '
            f'class) to {len(labels) - classes} (one of each is left to train)'
        )
    num_train = len(labels) - num_val
    if num_labels is not None:
        check_num_labels(num_labels, split, classes, num_train)
    parts = {
        'train': slice(num_train if num_labels is None else num_labels),
        'val': slice(num_train, None),
        'trainval': slice(None),
    }
    built.get_subset_(split_order(labels)[parts[split]].tolist())
    return built
