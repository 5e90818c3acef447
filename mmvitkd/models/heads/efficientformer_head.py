from typing import Any

from mmpretrain.models import ClsHead
from mmpretrain.models import heads as upstream
from mmpretrain.structures import DataSample
from torch import Tensor

from mmvitkd.registry import MODELS

from .extra_token_head import require_taught


@MODELS.register_module()
class EfficientFormerClsHead(upstream.EfficientFormerClsHead):
    """EfficientFormer's head, whose distillation part can be trained.

    MMPretrain's own refuses that. Here the labels teach ``head``, a term
    ``head.dist_head``, and the mean of both predicts, as in the released code of
    `EfficientFormer <https://arxiv.org/abs/2206.01191>`_. Arguments and weights are the
    same.
    """

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return logits ``(B, K)``: in training the labels' head's, else the mean.

        Raises:
            ValueError: If nothing teaches the distillation head in training.
        """
        if not self.dist or not self.training:
            return super().forward(feats)
        require_taught(self.dist_head, 'head.dist_head', 'distillation=False')
        features = self.pre_logits(feats)
        self.dist_head(features)  # for its tap
        return self.head(features)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compare the labels' head with the labels, as any head does."""
        return ClsHead.loss(self, feats, data_samples, **kwargs)

    @staticmethod
    def upstream(cfg: dict) -> dict:
        """Name MMPretrain's own head, whose predictions are the same."""
        return {**cfg, 'type': 'EfficientFormerClsHead'}
