"""Which grid a tap's tokens lie on: as the model says, or as their number does."""

from collections.abc import Iterable
from typing import Any

Grid = tuple[int, int]

# class, distillation and register tokens; more means that the grid is wrong
MAX_EXTRA_TOKENS = 16
# those that a grid is guessed beside: a class token and four registers
USUAL_EXTRA_TOKENS = 5


def fitting_grid(tokens: int, grids: Iterable[Grid], image: Grid | None) -> Grid | None:
    """Return the grid of some tokens, a few extra ones among them.

    Args:
        tokens: How many there are.
        grids: What modules say; the first of those with the fewest extra tokens counts.
        image: ``(H, W)`` of the image. Where no module's grid fits, as behind a merging
            of tokens, that counts which has the image's proportions.

    Returns:
        ``(h, w)``; None if there is none.
    """
    extra = {grid: tokens - grid[0] * grid[1] for grid in grids if min(grid) > 0}
    fitting = [grid for grid, left in extra.items() if 0 <= left <= MAX_EXTRA_TOKENS]
    if fitting:
        return min(fitting, key=lambda grid: extra[grid])
    if image is None:
        return None
    counts = range(tokens, max(tokens - USUAL_EXTRA_TOKENS, 1) - 1, -1)
    shaped = ((count, _in_proportion(count, image)) for count in counts)
    return next((grid for count, grid in shaped if grid[0] * grid[1] == count), None)


def _in_proportion(tokens: int, image: Grid) -> Grid:
    """Divide an image into about so many squares."""
    side = (image[0] * image[1] / tokens) ** 0.5
    return round(image[0] / side), round(image[1] / side)


def has_channels_last(shape: tuple[int, ...], image: Grid | None, usual: bool) -> bool:
    """Whether a map is ``(B, H, W, C)`` rather than ``(B, C, H, W)``.

    Args:
        shape: Of the map.
        image: ``(H, W)`` of the image, whose proportions tell it, if it is known.
        usual: What to take it for where they don't.
    """
    if image is None:
        return usual
    first, last = (
        abs(height * image[1] - width * image[0])
        for height, width in (shape[2:], shape[1:3])
    )
    return usual if first == last else last < first


def is_grid(value: Any) -> bool:
    """Whether a value is ``(rows, columns)``."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(side, int) for side in value)
    )


def grids_in(values: Any) -> list[Grid]:
    """List the grids that a module hands along, as Swin's do: a pair, or two."""
    found = []
    for value in values if isinstance(values, (tuple, list)) else ():
        pairs = [value]
        if isinstance(value, (tuple, list)) and len(value) == 4:
            pairs = [value[:2], value[2:]]  # Hugging Face's, before and after merging
        found += [(pair[0], pair[1]) for pair in pairs if is_grid(pair)]
    return found
