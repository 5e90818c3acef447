from typing import Any

import cv2
import numpy as np
from mmcv.transforms import RandomFlip

from mmvitkd.registry import TRANSFORMS

CODES = {'horizontal': 1, 'vertical': 0, 'diagonal': -1}


@TRANSFORMS.register_module()
class FastRandomFlip(RandomFlip):
    """MMCV's ``RandomFlip``, whose image is not a view of another's memory.

    On such a view every later step takes longer. Equal pixels and draws. Arguments as
    for ``RandomFlip``.
    """

    def _choose_direction(self) -> str | None:
        """Draw the direction as MMCV does, without NumPy's checks of a choice."""
        if getattr(self, '_cache_enabled', False):  # one draw for several images
            return super()._choose_direction()
        one = isinstance(self.direction, str)
        directions = [self.direction] if one else [*self.direction]
        if isinstance(self.prob, list):
            shares = [*self.prob, 1 - sum(self.prob)]
        else:
            share = self.prob / len(directions)
            shares = [share] * len(directions) + [1.0 - self.prob]
        bounds = np.cumsum(shares)
        drawn = np.searchsorted(bounds / bounds[-1], np.random.random(), 'right')
        return [*directions, None][drawn]

    def _flip(self, results: dict[str, Any]) -> None:
        image = results['img']
        super()._flip(results)
        results['img'] = cv2.flip(image, CODES[results['flip_direction']])
