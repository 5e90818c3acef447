from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_positive, check_ratio, random_mask
from .tap import Feature, Tap, find_patch_embed, record
from .tasks import task_of


@MODELS.register_module()
class MaskedView(BaseModule):
    """The student's second look at a batch, with patches hidden from it.

    A part of the images is run once more. Of each, so many patches at random places
    are a mask token, which is learnt, when they leave the patch embedding; positions
    are added as ever. The term compares the tokens at those places with the teacher's
    of whole images, if its loss takes a mask, as ``ViTKDGenLoss`` does. Here for
    `Proteus <https://arxiv.org/abs/2407.10366>`_.

    Args:
        in_channels: Width of the patch embedding; inferred from the student's tap.
        mask_ratio: Share of an image's patches. Defaults to 0.5, as released.
        image_ratio: Share of the batch's images, the first ones, at least one.
            Defaults to 0.5, as released.
        init_cfg: MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If a share is out of its range. In a forward: if the student has no
            patch embedding that yields tokens ``(B, N, in_channels)``.
    """

    def __init__(
        self,
        in_channels: int,
        mask_ratio: float = 0.5,
        image_ratio: float = 0.5,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.mask_ratio = check_ratio(mask_ratio)
        if check_positive('image_ratio', image_ratio) > 1:
            raise ValueError(f'image_ratio must be at most 1, got {image_ratio}')
        self.image_ratio = image_ratio
        self.mask_token = nn.Parameter(torch.zeros(in_channels))

    def forward(
        self, student: Any, inputs: Tensor, tap: Tap
    ) -> tuple[Feature, Tensor, list[int]]:
        """Run the student on masked images.

        Args:
            student: A classifier with a patch embedding.
            inputs: The whole batch ``(B, C, H, W)``.
            tap: What to record.

        Returns:
            What the tap yields of ``n`` images, a bool ``(n, N)``, True where a patch
            was hidden, and the places of those images in the batch.
        """
        embedding = find_patch_embed(student)
        if embedding is None:
            raise ValueError(
                f'MaskedView: {type(student).__name__} has no patch embedding whose '
                'patches could be hidden'
            )
        masks: list[Tensor] = []

        def hide(_: Any, __: Any, output: Any) -> Any:
            tokens = output[0] if isinstance(output, tuple) else output
            if tokens.ndim != 3 or tokens.shape[-1] != len(self.mask_token):
                raise ValueError(
                    f'MaskedView: the patch embedding yields {tuple(tokens.shape)}, '
                    f'but must yield (B, N, {len(self.mask_token)}), of which '
                    'in_channels is the last'
                )
            batch, number = tokens.shape[:2]
            masks.append(random_mask(batch, number, self.mask_ratio, tokens.device))
            token = self.mask_token.to(tokens)
            tokens = torch.where(masks[0].unsqueeze(-1), token, tokens)
            return (tokens, *output[1:]) if isinstance(output, tuple) else tokens

        count = max(round(self.image_ratio * len(inputs)), 1)
        handle = embedding.register_forward_hook(hide)
        try:
            with record(student, [tap]) as seen:
                task_of(student).run(student, inputs[:count])
        finally:
            handle.remove()
        return seen[tap], masks[0], list(range(count))
