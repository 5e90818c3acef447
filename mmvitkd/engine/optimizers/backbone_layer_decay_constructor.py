from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mmvitkd.registry import OPTIM_WRAPPER_CONSTRUCTORS

from .layer_decay import LayerDecay

PREFIX = 'backbone.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneLayerDecayConstructor(LayerDecay):
    """MMPretrain's layer-wise learning rate decay, for a backbone inside any model.

    The backbone's layers get a lower learning rate the further they are from its
    output; neck and heads get the whole one. Of a distiller it is the student's
    backbone, and what terms learn gets the whole one, too. Arguments as for
    MMPretrain's, such as ``paramwise_cfg=dict(layer_decay_rate=0.7,
    norm_decay_mult=0.0)``, whose models are classifiers.
    """

    def depths_of(self, model: nn.Module) -> Callable[..., tuple[int, int]]:
        """Return what tells the depth of a parameter of the backbone.

        Raises:
            ValueError: If the model has no backbone, or one that can't tell the depth
                of its parameters.
        """
        student = getattr(model, 'student', model)
        backbone: Any = getattr(student, 'backbone', None)
        if not hasattr(backbone, 'get_layer_depth'):
            raise ValueError(
                f'layer-wise decay needs a model.backbone with get_layer_depth, as '
                f"MMPretrain's ViT and Swin are, but the {type(student).__name__}'s "
                f'is of {type(backbone).__name__}'
            )
        prefix = PREFIX if student is model else f'student.{PREFIX}'
        return partial(backbone.get_layer_depth, prefix=prefix)
