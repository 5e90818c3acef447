from .deepspeed_strategy import DeepSpeedStrategy
from .fsdp_strategy import FSDPStrategy

__all__ = ['DeepSpeedStrategy', 'FSDPStrategy']
