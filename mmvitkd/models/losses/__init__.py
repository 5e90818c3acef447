from .kd_loss import KDLoss
from .nkd_loss import NKDLoss
from .vitkd_gen_loss import ViTKDGenLoss
from .vitkd_mimic_loss import ViTKDMimicLoss

__all__ = ['KDLoss', 'NKDLoss', 'ViTKDGenLoss', 'ViTKDMimicLoss']
