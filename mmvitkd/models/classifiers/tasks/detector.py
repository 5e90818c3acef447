from typing import Any

import torch
from torch import Tensor

from ..tap import Tap
from .task import Task


class Detector(Task):
    """mmdet's detectors and instance segmentors, of one stage or two."""

    base = 'mmdet.models.detectors.base.BaseDetector'
    scope = 'mmdet'
    # P7 of a feature pyramid has two rows then; 224 has whole windows
    sides = (256, 224, 384, 512, 800, 1024)
    several_labels = True

    def run(
        self, model: Any, inputs: Tensor, data_samples: list[Any] | None = None
    ) -> Any:
        """Run it as far as it goes without proposals.

        Args:
            model: The detector.
            inputs: Images ``(B, C, H, W)``.
            data_samples: Which tell transformers what is padding. Blank ones stand for
                them if they are None, or of images of another size.
        """
        if getattr(model, 'roi_head', None) is not None:
            maps = model.extract_feat(inputs)
            return model.rpn_head(maps) if model.with_rpn else maps
        size = tuple(inputs.shape[-2:])
        sizes = [getattr(s, 'batch_input_shape', ()) for s in data_samples or ()]
        if [tuple(one) for one in sizes] != [size] * len(inputs):
            data_samples = [_blank_sample(size, inputs) for _ in inputs]
        return model(inputs, data_samples)

    def check_tap(self, model: Any, tap: Tap) -> None:
        """Refuse what looks at regions, as those of two models differ."""
        if tap.path.split('.')[0] == 'roi_head':
            raise ValueError(
                f"tap '{tap.path}': a roi_head looks at regions that its own detector "
                'has proposed, so there is nothing in the other to compare with: tap '
                "the backbone, dict(path='neck', output=0), or the rpn_head"
            )


def _blank_sample(size: tuple[int, ...], inputs: Tensor) -> Any:
    """Make a sample of one box, since some detectors make queries of the boxes."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    shapes = dict.fromkeys(
        ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), size
    )
    sample = DetDataSample(metainfo={**shapes, 'scale_factor': (1.0, 1.0)})
    sample.gt_instances = InstanceData(
        bboxes=inputs.new_tensor([[0, 0, size[1], size[0]]]),
        labels=torch.zeros(1, dtype=torch.long, device=inputs.device),
    )
    return sample
