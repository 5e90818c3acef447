from .activation_checkpointing_hook import ActivationCheckpointingHook
from .block_skipping_hook import BlockSkippingHook
from .check_seg_maps_hook import CheckSegMapsHook
from .corruption_hook import CorruptionHook
from .data_wait_hook import DataWaitHook
from .distillation_check_hook import DistillationCheckHook
from .distillation_monitor_hook import DistillationMonitorHook
from .exact_resume_hook import ExactResumeHook
from .feature_probe_hook import FeatureProbeHook
from .image_check_hook import ImageCheckHook
from .label_check_hook import LabelCheckHook
from .overview_hook import OverviewHook
from .quantisation_hook import QuantisationHook
from .rehearsal_hook import RehearsalHook
from .resume_optim_hook import ResumeOptimHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .student_view_hook import StudentViewHook
from .term_balance_hook import TermBalanceHook
from .term_weight_hook import TermWeightHook

__all__ = [
    'ActivationCheckpointingHook',
    'BlockSkippingHook',
    'CheckSegMapsHook',
    'CorruptionHook',
    'DataWaitHook',
    'DistillationCheckHook',
    'DistillationMonitorHook',
    'ExactResumeHook',
    'FeatureProbeHook',
    'ImageCheckHook',
    'LabelCheckHook',
    'OverviewHook',
    'QuantisationHook',
    'RehearsalHook',
    'ResumeOptimHook',
    'SafeCheckpointHook',
    'StudentViewHook',
    'TermBalanceHook',
    'TermWeightHook',
]
