from .adversarial_neck import AdversarialNeck
from .anchor_point_neck import AnchorPointNeck
from .conv_generative_projector import ConvGenerativeProjector
from .cross_attention_generative_projector import CrossAttentionGenerativeProjector
from .cross_attention_projector import CrossAttentionProjector
from .dense_generative_projector import DenseGenerativeProjector
from .generative_projector import GenerativeProjector
from .grid_aligner import GridAligner
from .grid_pooler import GridPooler
from .groupwise_linear_neck import GroupwiseLinearNeck
from .ladder_projector import LadderProjector
from .linear_projector import LinearProjector
from .mgd_projector import MGDProjector
from .mlp_projector import MLPProjector
from .norm_projector import NormProjector
from .orthogonal_projector import OrthogonalProjector
from .partial_cross_attention_neck import PartialCrossAttentionNeck
from .patch_group_neck import PatchGroupNeck
from .residual_generative_projector import ResidualGenerativeProjector
from .self_attention_generative_projector import SelfAttentionGenerativeProjector
from .simple_fpn import SimpleFPN
from .target_aware_neck import TargetAwareNeck
from .transformer_generative_projector import TransformerGenerativeProjector

__all__ = [
    'AdversarialNeck',
    'AnchorPointNeck',
    'ConvGenerativeProjector',
    'CrossAttentionGenerativeProjector',
    'CrossAttentionProjector',
    'DenseGenerativeProjector',
    'GenerativeProjector',
    'GridAligner',
    'GridPooler',
    'GroupwiseLinearNeck',
    'LadderProjector',
    'LinearProjector',
    'MGDProjector',
    'MLPProjector',
    'NormProjector',
    'OrthogonalProjector',
    'PartialCrossAttentionNeck',
    'PatchGroupNeck',
    'ResidualGenerativeProjector',
    'SelfAttentionGenerativeProjector',
    'SimpleFPN',
    'TargetAwareNeck',
    'TransformerGenerativeProjector',
]
