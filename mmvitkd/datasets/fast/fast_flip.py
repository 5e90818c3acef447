from typing import Any

import cv2
from mmcv.transforms import RandomFlip

from mmvitkd.registry import TRANSFORMS

CODES = {'horizontal': 1, 'vertical': 0, 'diagonal': -1}


@TRANSFORMS.register_module()
class FastRandomFlip(RandomFlip):
    """MMCV's ``RandomFlip``, whose image is not a view of another's memory.

    On such a view every later step takes longer. Equal pixels and draws. Arguments as
    for ``RandomFlip``.
    """

    def _flip(self, results: dict[str, Any]) -> None:
        image = results['img']
        super()._flip(results)
        results['img'] = cv2.flip(image, CODES[str(results['flip_direction'])])
