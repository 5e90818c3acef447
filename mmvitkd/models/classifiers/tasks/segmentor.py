from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.models.utils import resize_labels

from .task import Task, compare_numbers


class Segmentor(Task):
    """mmseg's semantic segmentors, which tell a class of every pixel."""

    base = 'mmseg.models.segmentors.base.BaseSegmentor'
    called = 'segmentor'
    scope = 'mmseg'
    sides = (256, 224, 384, 512)
    labels_places = True

    def run(
        self, model: Any, inputs: Tensor, data_samples: list[Any] | None = None
    ) -> Any:
        """Run it on images, and those auxiliary heads that are tapped.

        A segmentor runs them in training alone.
        """
        tapped = [head for head in _auxiliary_heads(model) if _is_tapped(head)]
        if not tapped:
            return model(inputs, None)
        seen: list[Any] = []
        last = model.neck if model.with_neck else model.backbone
        handle = last.register_forward_hook(lambda _, __, maps: seen.append(maps))
        try:
            outputs = model(inputs, None)
        finally:
            handle.remove()
        for head in tapped:
            head(seen[0])
        return outputs

    def check_loss(self, model: Any, loss: Any) -> None:
        """Refuse a loss of several classes where one logit tells two apart."""
        super().check_loss(model, loss)
        outputs = getattr(_last_head(model), 'out_channels', None)
        if getattr(loss, 'exclusive', False) and outputs == 1:
            raise ValueError(
                f'{type(loss).__name__} compares classes, of which one logit a pixel '
                "(out_channels=1) tells no two: take KDLoss(activation='sigmoid')"
            )

    def labels(self, model: Any, data_samples: list[Any] | None) -> Tensor | None:
        """Return the label maps, ``(B, H, W)``; what is no class is -1."""
        if not data_samples or not all('gt_sem_seg' in s for s in data_samples):
            return None
        maps = [sample.gt_sem_seg.data.squeeze(0) for sample in data_samples]
        if len({tuple(one.shape) for one in maps}) > 1:
            return None
        found = torch.stack(maps).long()
        head = _last_head(model)
        classes = getattr(head, 'num_classes', None)
        outside = found == getattr(head, 'ignore_index', 255)
        if classes is not None:
            outside |= found >= classes
        return found.masked_fill(outside, -1)

    def logits_module(self, model: Any) -> Any:
        """Return the last layer of the last decode head, whose forward has no hooks."""
        return getattr(_last_head(model), 'conv_seg', None)

    def logits(self, output: Any) -> Tensor | None:
        """Read ``(B, K, h, w)``."""
        return output if isinstance(output, Tensor) and output.ndim == 4 else None

    def count_classes(self, model: Any) -> int | None:
        """Return the number of classes that a pixel may have."""
        return getattr(_last_head(model), 'num_classes', None)

    def check_data(self, model: Any, metainfo: dict[str, Any]) -> str | None:
        """Compare the data's classes with those of its pixels."""
        return compare_numbers(
            metainfo.get('classes'), self.count_classes(model), 'decode_head'
        )

    def rows(
        self, logits: dict[str, Tensor], labels: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Take the pixels one by one, on the coarsest of the grids.

        What is labelled as no class is left out. Returns nothing without labels.
        """
        if labels is None or not logits:
            return {}, None
        sizes = ((v.shape[-2], v.shape[-1]) for v in logits.values())
        size = min(sizes, key=lambda s: s[0])
        target = resize_labels(labels, size)
        seen = target >= 0
        maps = {
            name: F.interpolate(value.float(), size, mode='bilinear')
            for name, value in logits.items()
        }
        rows = {name: value.movedim(1, -1)[seen] for name, value in maps.items()}
        return rows, target[seen]


def _last_head(model: Any) -> Any:
    head = getattr(model, 'decode_head', None)
    return head[-1] if isinstance(head, nn.ModuleList) else head


def _auxiliary_heads(model: Any) -> list[Any]:
    heads = getattr(model, 'auxiliary_head', None)
    if heads is None:
        return []
    return [*heads] if isinstance(heads, nn.ModuleList) else [heads]


def _is_tapped(head: nn.Module) -> bool:
    """Whether anything waits for what a part of it yields, as taps do by hooks."""
    return any(module._forward_hooks for module in head.modules())
