"""The channels and the size of the images that a model takes."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmvitkd.utils.blocks import input_channels
from mmvitkd.utils.built import reason

from .grids import Grid
from .tap import find_patch_embed
from .tasks import task_of

Shape = tuple[int, int, int]  # (C, H, W)

# the usual ones, tried in this order where a model says nothing
SIDES = (224, 160, 128, 192, 256, 288, 320, 384, 448, 512, 96, 64, 32)
SIZES = ('init_input_size', 'img_size', 'image_size')  # mmcv's, timm's, Hugging Face's


def natural_input_size(model: nn.Module) -> Grid | None:
    """Return the ``(H, W)`` that a model's patch embedding was made for, if any."""
    patch_embed = find_patch_embed(model)
    if patch_embed is None:
        return None
    # Hugging Face's CLIP and SigLIP tell it of what is around
    around = [m for m in model.modules() if patch_embed in set(m.children())]
    for module in (patch_embed, *around):
        for name in SIZES:
            size = getattr(module, name, None)
            if size is not None:
                return pair(size)
    return None


def pair(size: Any) -> Grid:
    """Return ``(H, W)`` of a size, or of one side.

    Raises:
        ValueError: If it is neither.
    """
    sides = [size, size] if isinstance(size, int) else size
    several = isinstance(sides, Sequence) and not isinstance(sides, str)
    if not several or len(sides) < 2 or any(_is_no_side(side) for side in sides[:2]):
        raise ValueError(
            f'input_size must be (height, width) in pixels, or one side, got {size!r}'
        )
    return int(sides[0]), int(sides[1])


def _is_no_side(side: Any) -> bool:
    return isinstance(side, (bool, str)) or not int(side) > 0


def first_line(error: Exception) -> str:
    """Return an error's name and the first line that it says."""
    text = next(iter(str(error).splitlines()), '')
    return f'{type(error).__name__}: {text}' if text else reason(error)


def find_image_shape(student: nn.Module, size: Any = None) -> Shape:
    """Find images that a student takes, by trying.

    Args:
        student: A model with its data preprocessor.
        size: ``(H, W)``, or one side. Defaults to None: the model's own, or the first
            of the usual ones.

    Raises:
        ValueError: If it takes none of them.
    """
    failed: dict[Shape, Exception] = {}
    for shape in _candidates(student, size):
        try:
            _run(student, torch.zeros(1, *shape))
        except Exception as error:  # every library refuses in its own way
            failed[shape] = error
        else:
            return shape
    shape, refused = next(iter(failed.items()))
    more = f', nor on {len(failed) - 1} other shapes' if len(failed) > 1 else ''
    raise ValueError(
        f'the student does not run on a blank image of {shape} (channels, height, '
        f'width): {first_line(refused)}{more}. If its images have another size, give '
        'the distiller input_size=(height, width)'
    ) from refused


def _candidates(student: Any, size: Any) -> Iterator[Shape]:
    """List the shapes to try, the most likely one first."""
    mean: Tensor | None = getattr(student.data_preprocessor, 'mean', None)
    # one mean may be meant for all channels
    means = None if mean is None else mean.numel()
    channels = dict.fromkeys((input_channels(student), means, 3))
    sides = task_of(student).sides  # of which any will do, so a small one
    natural = None if sides else natural_input_size(student)
    sizes = [natural] if natural else []
    sizes += [(side, side) for side in sides or SIDES]
    for hw in sizes if size is None else [pair(size)]:
        for number in channels:
            if number is not None:
                yield number, *hw


@torch.no_grad()
def _run(student: nn.Module, images: Tensor) -> None:
    training = student.training
    student.eval()
    try:
        task_of(student).run(student, images)
    finally:
        student.train(training)
