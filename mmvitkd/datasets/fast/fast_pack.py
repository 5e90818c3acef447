from typing import Any

import cv2
import numpy as np
import torch
from mmpretrain.datasets import PackInputs
from torch import Tensor

from mmvitkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FastPackInputs(PackInputs):
    """MMPretrain's ``PackInputs``; OpenCV takes the channels apart.

    Arguments as for ``PackInputs``.
    """

    @staticmethod
    def format_input(input_: Any) -> Tensor | list[Tensor]:
        """Make an image a tensor: uint8 ``(H, W, 3)`` becomes ``(3, H, W)``."""
        if not isinstance(input_, np.ndarray) or input_.shape[2:] != (3,):
            return PackInputs.format_input(input_)
        planes = np.empty((3, *input_.shape[:2]), input_.dtype)
        cv2.split(input_, list(planes))
        return torch.from_numpy(planes)
