from .fast_flip import FastRandomFlip
from .fast_pack import FastPackInputs
from .fast_rand_augment import FastRandAugment
from .fast_random_erasing import FastRandomErasing
from .fast_resized_crop import FastRandomResizedCrop
from .pipeline import KINDS, faster, speed_up_data
from .read_resized_crop import ReadRandomResizedCrop

__all__ = [
    'KINDS',
    'FastPackInputs',
    'FastRandAugment',
    'FastRandomErasing',
    'FastRandomFlip',
    'FastRandomResizedCrop',
    'ReadRandomResizedCrop',
    'faster',
    'speed_up_data',
]
