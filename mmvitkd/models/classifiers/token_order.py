"""Whether a tap's tokens lie where its grid says: seen, not assumed."""

import torch
from torch import Tensor

from .tap import Feature, Grid, Tap

# Where the dots are, as shares of height and width: on grids from 4x4 to 56x56, every
# transposition, reflection and order by windows of 2 to 8 moves at least two of them.
DOTS = ((0.255, 0.855), (0.855, 0.255), (0.905, 0.205))
SIDE = 1 / 64  # of a dot, as a share of the image, so that few tokens see it
BRIGHT = 5.0  # its value, where the image is 0
LOCAL = 3.0  # times the median change, above which a change tells a place
RAISED = 2.0  # times the median change, above which a token has seen the dot


def dotted_images(channels: int, size: Grid) -> Tensor:
    """Draw a blank image, and one for every dot.

    Returns:
        ``(1 + dots, channels, H, W)``.
    """
    images = torch.zeros(1 + len(DOTS), channels, *size)
    for image, dot in zip(images[1:], DOTS, strict=True):
        first = [int(side * at) for side, at in zip(size, dot, strict=True)]
        rows, columns = (
            slice(start, start + max(1, round(side * SIDE)))
            for start, side in zip(first, size, strict=True)
        )
        image[:, rows, columns] = BRIGHT
    return images


def check_order(tap: Tap, feature: Feature) -> None:
    """Refuse patch tokens whose order is not that of their grid, row by row.

    The token in which a dot lies must have changed more than most. What tells no
    place, such as attention that is spread evenly, passes, and so does a map, in which
    dilated convolutions may show a dot elsewhere.

    Args:
        tap: Whose they are.
        feature: What it yields of :func:`dotted_images`.

    Raises:
        ValueError: If most of the dots show clearly, but elsewhere than they are.
    """
    value, hw = feature.value, feature.hw
    dotted = value.ndim == 3 and len(value) == 1 + len(DOTS)
    if hw is None or feature.is_map or not dotted:
        return
    changes = (value[1:] - value[:1]).float().norm(dim=-1)  # (dots, N)
    moved = []
    for change, dot in zip(changes, DOTS, strict=True):
        drawn = int(dot[0] * hw[0]), int(dot[1] * hw[1])
        if _is_elsewhere(change, drawn[0] * hw[1] + drawn[1]):
            moved.append((drawn, divmod(int(change.argmax()), hw[1])))
    # a neighbour may show it most, where patches overlap or don't fill the image
    far = [pair for pair in moved if _distance(*pair) > 1]
    shifts = {(b[0] - a[0]) * hw[1] + b[1] - a[1] for a, b in moved}
    # along the row, as by a last token; a stride may shift by a row and a column
    shifted_along = len(shifts) == 1 and abs(next(iter(shifts))) < hw[1] - 1
    all_shifted = len(moved) == len(DOTS) and shifted_along
    if len(far) > len(DOTS) / 2 or all_shifted:
        drawn, shown = (far or moved)[0]
        raise ValueError(
            f"tap '{tap.name}': its tokens are not in the order of their "
            f'{hw[0]}x{hw[1]} grid: a dot in row {drawn[0]}, column {drawn[1]} of the '
            f'image shows in the token of row {shown[0]}, column {shown[1]}, and '
            'losses compare tokens place by place. Tap a module whose output is a map '
            '(B, C, H, W), or one before the tokens are put into another order'
        )


def _is_elsewhere(change: Tensor, drawn: int) -> bool:
    """Whether a dot shows clearly, but not at all in the token that it was drawn in.

    Args:
        change: Of every token, ``(N,)``.
        drawn: The number of that token.
    """
    usual, peak = change.median(), change.max()
    if not change.isfinite().all() or peak <= LOCAL * usual:
        return False
    return bool(change[drawn] <= RAISED * usual + 1e-6 * peak)


def _distance(drawn: Grid, shown: Grid) -> int:
    return max(abs(a - b) for a, b in zip(drawn, shown, strict=True))
