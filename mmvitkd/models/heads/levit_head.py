from mmpretrain.models import heads as upstream

from mmvitkd.registry import MODELS

from .distilled_head import DistilledHead


@MODELS.register_module()
class LeViTClsHead(DistilledHead, upstream.LeViTClsHead):
    """LeViT's head, whose distillation part can be trained.

    MMPretrain's own refuses that. Here the labels teach ``head``, a term
    ``head.head_dist``, and the mean of both predicts, as in the released code of
    `LeViT <https://arxiv.org/abs/2104.01136>`_. Arguments and weights are the same.
    """

    extra = 'head_dist'
