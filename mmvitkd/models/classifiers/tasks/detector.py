from typing import Any

import torch
from torch import Tensor, nn

from ..tap import Tap
from .task import Task, compare_numbers


class Detector(Task):
    """mmdet's detectors and instance segmentors, of one stage or two."""

    base = 'mmdet.models.detectors.base.BaseDetector'
    called = 'detector'
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

    def count_classes(self, model: Any) -> int | None:
        """Return how many classes its boxes may have; None of those that read text."""
        if getattr(model, 'language_model', None) is not None:
            return None
        head = getattr(model, 'bbox_head', None)
        head = getattr(getattr(model, 'roi_head', None), 'bbox_head', head)
        head = head[-1] if isinstance(head, nn.ModuleList) else head
        return getattr(head, 'num_classes', None)

    def check_heads(self, student: Any, teacher: Any, widths: tuple[int, int]) -> None:
        """Refuse logits of other classes, or of other anchors."""
        ours, theirs = self.count_classes(student), self.count_classes(teacher)
        if not ours or not theirs or widths[0] % ours or widths[1] % theirs:
            return  # such as of an rpn_head
        if ours != theirs:
            raise ValueError(
                f'the student has {ours} classes and the teacher {theirs}: a loss on '
                'logits needs the same classes on both sides; fine-tune the teacher on '
                'them, or keep terms on features only'
            )
        anchors = widths[0] // ours, widths[1] // theirs
        if anchors[0] != anchors[1]:
            raise ValueError(
                f"the student's head has {anchors[0]} anchors at every place and the "
                f"teacher's {anchors[1]}: a loss on logits compares one with one; give "
                'both the same anchor_generator, or keep terms on features only'
            )

    def check_data(self, model: Any, metainfo: dict[str, Any]) -> str | None:
        """Compare the data's classes with those of its boxes."""
        return compare_numbers(
            metainfo.get('classes'), self.count_classes(model), 'bbox_head'
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
