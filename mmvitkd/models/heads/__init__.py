from .contrast import Contrast
from .contrastive_head import ContrastiveClsHead
from .cskd_head import CSKDClsHead
from .distilled_head import DistilledHead
from .efficientformer_head import EfficientFormerClsHead
from .extra_token_head import ExtraTokenClsHead
from .inter_class_contrast import InterClassContrast
from .intra_class_contrast import IntraClassContrast
from .levit_head import LeViTClsHead
from .lift_head import LiftClsHead
from .self_supervised_contrast import SelfSupervisedContrast

__all__ = [
    'CSKDClsHead',
    'Contrast',
    'ContrastiveClsHead',
    'DistilledHead',
    'EfficientFormerClsHead',
    'ExtraTokenClsHead',
    'InterClassContrast',
    'IntraClassContrast',
    'LeViTClsHead',
    'LiftClsHead',
    'SelfSupervisedContrast',
]
