from typing import Any

import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import VisionTransformerClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvitkd.registry import MODELS, SCOPE


@MODELS.register_module()
class ContrastiveClsHead(VisionTransformerClsHead):
    """A ViT's classification head that also contrasts two views of each image.

    It makes a teacher, as in `Enriching Knowledge Distillation with Intra-Class
    Contrastive Learning <https://arxiv.org/abs/2509.22053>`_: the classification
    loss of only the **first** view, so that a plain teacher's is the same, plus a
    contrast between the features before the last linear layer. Weights, forward
    and predictions are those of ``VisionTransformerClsHead``.

    In training it wants the batch of :class:`TwoViewDataPreprocessor`.

    Args:
        contrast: Config of a :class:`Contrast`, e.g.
            ``dict(type='IntraClassContrast', margin=0.5)``.
        *args: As ``VisionTransformerClsHead``.
        **kwargs: As ``VisionTransformerClsHead``.
    """

    def __init__(self, *args: Any, contrast: dict, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with DefaultScope.overwrite_default_scope(SCOPE):
            self.contrast = MODELS.build(contrast)
        self.contrast.reserve(self.num_classes, self.hidden_dim or self.in_channels)

    def loss(
        self, feats: tuple[Any, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Sum up the classification loss and the contrast.

        Args:
            feats: The backbone's output on ``(2B, 3, H, W)`` images, all first
                views before all second ones.
            data_samples: The ``B`` images' labels.
            **kwargs: Passed to the classification loss.

        Returns:
            ``loss`` and ``loss_contrast``.

        Raises:
            ValueError: If labels are mixed, or there is one view only.
        """
        labels = unmixed_labels(data_samples)  # (B,)
        features = self.pre_logits(feats)  # (2B, C)
        if len(features) != 2 * len(labels):
            raise ValueError(
                f'{type(self).__name__} contrasts two views of each image, but got '
                f'{len(features)} features for {len(labels)} labels: give the model '
                "data_preprocessor=dict(type='mmvitkd.TwoViewDataPreprocessor') and "
                "the training pipeline dict(type='MultiView', num_views=2, ...)"
            )
        first, second = features.chunk(2)  # (B, C) each
        logits = self.layers.head(first)  # (B, K)
        losses = self._get_loss(logits, data_samples, **kwargs)
        losses['loss_contrast'] = self.contrast(first, second, logits, labels)
        return losses


def unmixed_labels(data_samples: list[DataSample]) -> Tensor:
    """Return the class indices ``(B,)`` of samples that belong to one class each.

    Raises:
        ValueError: If a sample's scores are of several classes.
    """
    if not all('gt_score' in sample for sample in data_samples):
        return torch.cat([sample.gt_label for sample in data_samples])
    scores = torch.stack([sample.gt_score for sample in data_samples])  # (B, K)
    highest, labels = scores.max(1)
    if not bool((highest == 1).all()):
        raise ValueError(
            'a contrast of classes needs one class for each image, but the labels are '
            f'mixed (largest share {float(highest.min()):.2f}): leave Mixup and CutMix '
            'out (train_cfg=None)'
        )
    return labels
