"""Images over photographs, drawn for detection and segmentation, to fine-tune on."""

from typing import NamedTuple


class Protocol(NamedTuple):
    """How students are compared on scenes of a data set, unless told otherwise."""

    scenes: str  # what the scenes' folder is named
    vitkd: str  # the config of the student by ViTKD
    train: int  # scenes
    val: int  # scenes
    seeds: int  # students of each kind
    fine_tunings: int  # of each student
    paired: bool  # differences are those between runs of the same seed


PROTOCOLS = {
    'digits': Protocol('digit-scenes', 'vitkd_digits', 300, 100, 3, 1, False),
    'fashion-mnist': Protocol(
        'fashion-mnist-scenes', 'vitkd-tuned_fashion-mnist', 1000, 2000, 6, 2, True
    ),
}
