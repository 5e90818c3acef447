from .cifar_resnet import CIFARResNet
from .conv_attention_vit import ConvAttentionViT
from .cross_bias_vit import CrossBiasViT
from .deit3 import DeiT3
from .extra_token_vit import ExtraTokenViT
from .grid_vit import GridViT
from .mini_deit import MiniDeiT
from .mini_swin import MiniSwin
from .rednet import RedNet
from .sliced_vit import SlicedViT
from .vitdet import ViTDet
from .wide_last_vit import WideLastViT

__all__ = [
    'CIFARResNet',
    'ConvAttentionViT',
    'CrossBiasViT',
    'DeiT3',
    'ExtraTokenViT',
    'GridViT',
    'MiniDeiT',
    'MiniSwin',
    'RedNet',
    'SlicedViT',
    'ViTDet',
    'WideLastViT',
]
