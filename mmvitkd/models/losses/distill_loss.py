from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..utils import check_choice, check_no_mask, check_same_shape, check_weight


class DistillLoss(nn.Module):
    """What every loss owes a term; a subclass writes its equation and no more.

    ``equation(student, teacher)`` gets tensors whose shapes were checked, in float32,
    or in float64 where a side is, outside of autocast. It returns one number, without
    the weight. What else it gets, by keyword, class attributes say.

    Args:
        loss_weight: Factor of the whole, which a schedule may change at run time.
            Defaults to 1.0.
        reduction: One of :attr:`reductions`, of a class that has any, or ``'none'``:
            of each image a number, whose mean is the first one's. Defaults to the
            first.

    Attributes:
        equation: The method's own part.
        check_shapes: Raises a ValueError for two sides that can't be compared. By
            default they have the same shape.
        of_images: Whether the equation is a mean over images, so that ``'none'`` has a
            meaning. Others relate the images of a batch.
        per_image: Whether ``reduction`` is ``'none'``.
        reductions: What else ``reduction`` may be. See :meth:`reduce`.
        takes_grid: Whether ``equation`` gets ``hw``, the grid of the tokens or None.
        takes_mask: Whether it gets ``mask``, the neck's or None. Others refuse one.
        takes_mask_ratio: Whether it gets ``mask_ratio``, the neck's or None.

    Raises:
        ValueError: If ``loss_weight`` is no number of at least 0, or ``reduction`` is
            none of its choices.
    """

    equation: Callable[..., Tensor]
    check_shapes: Callable[[Tensor, Tensor], None] = staticmethod(check_same_shape)
    of_images = True
    reductions: tuple[str, ...] = ()
    takes_grid = False
    takes_mask = False
    takes_mask_ratio = False

    def __init__(self, loss_weight: float = 1.0, reduction: str | None = None) -> None:
        super().__init__()
        self.loss_weight = check_weight('loss_weight', loss_weight)
        choices = self.reductions + ('none',) * self.of_images
        if reduction is not None:
            check_choice('reduction', reduction, choices)
        self.per_image = reduction == 'none'
        # an equation need not know of 'none'
        chosen = None if self.per_image else reduction
        self.reduction = chosen or next(iter(self.reductions), 'mean')

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        mask: Tensor | None = None,
        **extra: Any,
    ) -> Tensor:
        """Weigh the equation.

        Args:
            student: What the student's tap or the neck yields.
            teacher: What the teacher's tap yields.
            target: Labels ``(B,)`` or scores ``(B, K)``, which :class:`LogitLoss` uses.
            mask: Bool ``(B, N)``, True where the neck replaced the student's token.
            extra: ``hw`` and ``mask_ratio``, for a loss that takes them.

        Returns:
            A scalar in float32, or in float64 where a side is; ``(B,)`` for
            ``reduction='none'``.

        Raises:
            ValueError: If the two sides can't be compared, or a mask has no meaning.
        """
        if self.takes_mask:
            extra['mask'] = mask
        else:
            check_no_mask(mask, type(self).__name__)
        self.check_shapes(student, teacher)
        dtype = torch.promote_types(student.dtype, teacher.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        # sums over tokens and channels overflow float16
        with torch.autocast(student.device.type, enabled=False):
            equation = self.of_each if self.per_image else self.equation
            loss = equation(student.to(dtype), teacher.to(dtype), **extra)
            return self.loss_weight * loss

    def of_each(self, student: Tensor, teacher: Tensor, **extra: Any) -> Tensor:
        """Compute the equation of each image alone, ``(B,)``.

        By ``torch.vmap``; a class overrides it whose equation keeps something of the
        images, or has a gradient of its own.
        """
        each = {key: x for key, x in extra.items() if isinstance(x, Tensor)}

        def of_one(student: Tensor, teacher: Tensor, each: dict) -> Tensor:
            batch = {**extra, **{key: x[None] for key, x in each.items()}}
            return self.equation(student[None], teacher[None], **batch)

        return torch.vmap(of_one)(student, teacher, each)

    def reduce(self, error: Tensor) -> Tensor:
        """Sum up ``(B, ...)`` and divide by ``B``, or take the mean."""
        return error.mean() if self.reduction == 'mean' else error.sum() / len(error)
