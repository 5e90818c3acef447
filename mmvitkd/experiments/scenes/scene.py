"""Draw a scene: images of a data set at different scales over a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .sources import Paint

SIZE = 96  # pixels along a scene's side
SCALES = (18, 48)  # pixels along an image's side, the smallest and the largest
COUNTS = (2, 4)  # instances of a scene, the fewest and the most
GAP = 2  # pixels between images, at least
TRIES = 60  # places that are tried for an image

# shares of a pixel that are covered: an instance's from COVERED on; its soft rim from
# RIM on
COVERED, RIM = 0.5, 0.2


@dataclass(frozen=True)
class Instance:
    """An image of the data set in a scene."""

    label: int  # 0 to 9
    image: int  # its place in the data set
    mask: np.ndarray  # True where it is, bool (SIZE, SIZE)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The smallest box around the mask: left, top, width, height."""
        left, top, width, height = cv2.boundingRect(self.mask.astype(np.uint8))
        return left, top, width, height


@dataclass(frozen=True)
class Scene:
    """An image with all that is known of it."""

    image: np.ndarray  # RGB, uint8 (SIZE, SIZE, 3)
    instances: tuple[Instance, ...]  # whose masks do not overlap
    # True where one fades out, neither instance nor background, bool (SIZE, SIZE)
    rim: np.ndarray
    photograph: str  # name of the one behind


def draw_scene(
    rng: np.random.RandomState,
    photographs: dict[str, np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    choice: Sequence[int],
    paint: Paint,
) -> Scene:
    """Draw one scene.

    Args:
        rng: All that is random.
        photographs: RGB, uint8 ``(H, W, 3)``, by name.
        images: Grey, uint8 ``(N, H, W)``.
        labels: Of the images, ``(N, )``.
        choice: The images that may be drawn.
        paint: Enlarges one of them.
    """
    name = sorted(photographs)[rng.randint(len(photographs))]
    scene = background(rng, photographs[name])
    taken = np.zeros((SIZE, SIZE), bool)
    rim = np.zeros((SIZE, SIZE), bool)
    instances: list[Instance] = []
    for side in sides(rng):
        place = find_place(rng, taken, side)
        if place is None:
            continue
        image = int(choice[rng.randint(len(choice))])
        y, x = place
        window = slice(y, y + side), slice(x, x + side)
        share, colour = paint(rng, images[image], side)
        scene[window] += share[..., None] * (colour - scene[window])
        mask = np.zeros((SIZE, SIZE), bool)
        mask[window] = share >= COVERED
        rim[window] |= (share >= RIM) & (share < COVERED)
        taken[window] = True
        instances.append(Instance(int(labels[image]), image, mask))
    return Scene(np.rint(scene).astype(np.uint8), tuple(instances), rim, name)


def background(rng: np.random.RandomState, photograph: np.ndarray) -> np.ndarray:
    """Cut a square out of a photograph and dim it, so that what is drawn stands out.

    Returns:
        RGB, float ``(SIZE, SIZE, 3)``.
    """
    height, width = photograph.shape[:2]
    side = rng.randint(SIZE, min(height, width) + 1)
    y, x = rng.randint(height - side + 1), rng.randint(width - side + 1)
    cut = photograph[y : y + side, x : x + side]
    if rng.randint(2):
        cut = cut[:, ::-1]
    cut = cv2.resize(
        np.ascontiguousarray(cut), (SIZE, SIZE), interpolation=cv2.INTER_AREA
    )
    return cut.astype(float) * rng.uniform(0.35, 0.65)


def sides(rng: np.random.RandomState) -> list[int]:
    """Choose how many images, and how large; the largest first, as they need room."""
    count = rng.randint(COUNTS[0], COUNTS[1] + 1)
    low, high = np.log(SCALES)
    return sorted(
        np.rint(np.exp(rng.uniform(low, high, count))).astype(int).tolist(),
        reverse=True,
    )


def find_place(
    rng: np.random.RandomState, taken: np.ndarray, side: int
) -> tuple[int, int] | None:
    """Return row and column of a free square, or None if none is found."""
    for _ in range(TRIES):
        y, x = (int(n) for n in rng.randint(SIZE - side + 1, size=2))
        low_y, low_x = max(y - GAP, 0), max(x - GAP, 0)
        if not taken[low_y : y + side + GAP, low_x : x + side + GAP].any():
            return y, x
    return None
