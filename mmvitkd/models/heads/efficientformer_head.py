from typing import Any

from mmpretrain.models import ClsHead
from mmpretrain.models import heads as upstream
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvitkd.registry import MODELS

from .distilled_head import DistilledHead


@MODELS.register_module()
class EfficientFormerClsHead(DistilledHead, upstream.EfficientFormerClsHead):
    """EfficientFormer's head, whose distillation part can be trained.

    MMPretrain's own refuses that. Here the labels teach ``head``, a term
    ``head.dist_head``, and the mean of both predicts, as in the released code of
    `EfficientFormer <https://arxiv.org/abs/2206.01191>`_. Arguments and weights are the
    same.
    """

    extra = 'dist_head'

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compare the labels' head with the labels, as any head does."""
        return ClsHead.loss(self, feats, data_samples, **kwargs)
