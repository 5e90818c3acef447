from typing import Any

import torch
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor

from mmvitkd.registry import MODELS


@MODELS.register_module()
class TwoViewDataPreprocessor(ClsDataPreprocessor):
    """MMPretrain's preprocessor, which takes two views of each image as well.

    A pipeline with ``dict(type='MultiView', num_views=2, ...)`` gives them. They
    become one batch of ``2B`` images, all first views before all second ones, with
    ``B`` data samples. Single views, as in validation, are treated as ever.

    Args:
        batch_augments: None: Mixup and CutMix would mix the labels of two views.
        **kwargs: As ``ClsDataPreprocessor``.

    Raises:
        ValueError: If there are batch augments.
    """

    def __init__(self, batch_augments: dict | None = None, **kwargs: Any) -> None:
        if batch_augments:
            raise ValueError(
                'two views of an image must keep one label, so Mixup and CutMix are '
                f"not for them: leave out the model's train_cfg={batch_augments}"
            )
        super().__init__(**kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess ``data``; see ``ClsDataPreprocessor``.

        Args:
            data: ``inputs``, images or ``[first views, second views]``, each
                collated or not, and ``data_samples``.
            training: Passed on.

        Returns:
            ``inputs`` as ``(B, 3, H, W)`` or ``(2B, 3, H, W)``, ``data_samples``.

        Raises:
            ValueError: If there are more views than two, or one in a list.
        """
        inputs = data['inputs']
        if isinstance(inputs, Tensor) or getattr(inputs[0], 'ndim', None) == 3:
            return super().forward(data, training)
        if len(inputs) != 2:
            raise ValueError(
                f'the pipeline gives {len(inputs)} views of each image: set '
                "num_views=2 in its dict(type='MultiView', ...)"
            )
        first, second = inputs
        if isinstance(first, Tensor):  # (B, 3, H, W), from `default_collate`
            both: Any = torch.cat([first, second])
        else:
            both = [*first, *second]
        return super().forward({**data, 'inputs': both}, training)
