from typing import Any

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvitkd.registry import MODELS


@MODELS.register_module()
class PartlyLabelledDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's preprocessor for batches of which some images have no label.

    Mixup and CutMix mix images with a label among themselves, and those without among
    themselves, so that every image has a whole label or none. A distiller's is one by
    default. Arguments as for ``ClsDataPreprocessor``.

    Images and labels travel to a GPU without the host waiting for each of them.
    """

    def cast_data(self, data: Any) -> Any:
        """Move data to the device; nothing waits for a tensor."""
        self._non_blocking = True  # which MMPretrain's takes no argument for
        return super().cast_data(data)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess ``data``; see ``ClsDataPreprocessor``."""
        samples: Any = data.get('data_samples') or ()
        bare = [i for i, one in enumerate(samples) if not _has_label(one)]
        if not bare:
            return super().forward(data, training)
        known = [i for i in range(len(samples)) if i not in set(bare)]
        images = super().forward({'inputs': _take(data['inputs'], bare)})['inputs']
        if training and self.batch_augments is not None:
            images, _ = self.batch_augments(images, images.new_zeros(len(images), 1))
        if not known:
            return {'inputs': images, 'data_samples': samples}
        labelled = {
            'inputs': _take(data['inputs'], known),
            'data_samples': [samples[i] for i in known],
        }
        # the samples are changed where they are
        ours = super().forward(labelled, training)['inputs']
        order = torch.tensor([*known, *bare]).argsort().to(ours.device)
        return {'inputs': torch.cat([ours, images])[order], 'data_samples': samples}


def _has_label(sample: Any) -> bool:
    """Whether it is labelled; samples of other tasks are left to MMPretrain."""
    if not isinstance(sample, DataSample):
        return True
    return 'gt_label' in sample or 'gt_score' in sample


def _take(images: Any, places: list[int]) -> Any:
    if isinstance(images, Tensor):
        return images[places]
    return [images[i] for i in places]
