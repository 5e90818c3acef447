from .adversarial_feature_loss import AdversarialFeatureLoss
from .correlation_loss import CorrelationLoss
from .cosine_loss import CosineLoss
from .cskd_loss import CSKDLoss
from .cwd_loss import CWDLoss
from .dist_loss import DISTLoss
from .distill_loss import DistillLoss
from .dkd_loss import DKDLoss
from .dual_view_loss import DualViewLoss
from .hard_kd_loss import HardKDLoss
from .hidden_relation_loss import HiddenRelationLoss
from .kd_loss import KDLoss
from .logit_loss import LogitLoss
from .logit_mse_loss import LogitMSELoss
from .manifold_loss import ManifoldLoss
from .nkd_loss import NKDLoss
from .noise_adapted_ce_loss import NoiseAdaptedCELoss
from .normalised_mse_loss import NormalisedMSELoss
from .partial_cross_attention_loss import PartialCrossAttentionLoss
from .probe_loss import ProbeLoss
from .projector_loss import ProjectorLoss
from .qkv_relation_loss import QKVRelationLoss
from .queue_kl_loss import QueueKLLoss
from .relation_kl_loss import RelationKLLoss
from .rkd_loss import RKDLoss
from .smooth_l1_loss import SmoothL1Loss
from .spectral_loss import SpectralLoss
from .unic_loss import UNICLoss
from .vitkd_gen_loss import ViTKDGenLoss
from .vitkd_mimic_loss import ViTKDMimicLoss

__all__ = [
    'AdversarialFeatureLoss',
    'CSKDLoss',
    'CorrelationLoss',
    'CosineLoss',
    'CWDLoss',
    'DISTLoss',
    'DKDLoss',
    'DistillLoss',
    'DualViewLoss',
    'HardKDLoss',
    'HiddenRelationLoss',
    'KDLoss',
    'LogitLoss',
    'LogitMSELoss',
    'ManifoldLoss',
    'NKDLoss',
    'NoiseAdaptedCELoss',
    'NormalisedMSELoss',
    'PartialCrossAttentionLoss',
    'ProbeLoss',
    'ProjectorLoss',
    'QKVRelationLoss',
    'QueueKLLoss',
    'RKDLoss',
    'RelationKLLoss',
    'SmoothL1Loss',
    'SpectralLoss',
    'UNICLoss',
    'ViTKDGenLoss',
    'ViTKDMimicLoss',
]
