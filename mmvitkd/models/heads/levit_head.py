from mmpretrain.models import heads as upstream
from torch import Tensor

from mmvitkd.registry import MODELS

from .extra_token_head import require_taught


@MODELS.register_module()
class LeViTClsHead(upstream.LeViTClsHead):
    """LeViT's head, whose distillation part can be trained.

    MMPretrain's own refuses that. Here the labels teach ``head``, a term
    ``head.head_dist``, and the mean of both predicts, as in the released code of
    `LeViT <https://arxiv.org/abs/2104.01136>`_. Arguments and weights are the same.
    """

    def forward(self, x: tuple[Tensor, ...]) -> Tensor:
        """Return logits ``(B, K)``: in training the labels' head's, else the mean.

        Raises:
            ValueError: If nothing teaches the distillation head in training.
        """
        if not self.distillation or not self.training:
            return super().forward(x)
        require_taught(self.head_dist, 'head.head_dist', 'distillation=False')
        features = self.pre_logits(x)
        self.head_dist(features)  # for its tap
        return self.head(features)

    @staticmethod
    def upstream(cfg: dict) -> dict:
        """Name MMPretrain's own head, whose predictions are the same."""
        return {**cfg, 'type': 'LeViTClsHead'}
