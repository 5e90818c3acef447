"""Draw a scene: scanned digits at different scales over a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIZE = 96  # pixels along a scene's side
SCALES = (18, 48)  # pixels along a digit's side, the smallest and the largest
COUNTS = (2, 4)  # digits of a scene, the fewest and the most
GAP = 2  # pixels between digits, at least
TRIES = 60  # places that are tried for a digit

# shares of ink in a pixel: a digit's from INK on; its soft rim from RIM on
INK, RIM = 0.5, 0.2


@dataclass(frozen=True)
class Digit:
    """A digit of a scene."""

    label: int  # 0 to 9
    scan: int  # its place among scikit-learn's 1,797 scans
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
    digits: tuple[Digit, ...]  # whose masks do not overlap
    # True where a stroke fades out, neither digit nor background, bool (SIZE, SIZE)
    rim: np.ndarray
    photograph: str  # name of the one behind the digits


def draw_scene(
    rng: np.random.RandomState,
    photographs: dict[str, np.ndarray],
    scans: np.ndarray,
    labels: np.ndarray,
    choice: Sequence[int],
) -> Scene:
    """Draw one scene.

    Args:
        rng: All that is random.
        photographs: RGB, uint8 ``(H, W, 3)``, by name.
        scans: Grey, uint8 ``(N, 8, 8)``.
        labels: Of the scans, ``(N, )``.
        choice: The scans that may be drawn.
    """
    name = sorted(photographs)[rng.randint(len(photographs))]
    image = background(rng, photographs[name])
    taken = np.zeros((SIZE, SIZE), bool)
    rim = np.zeros((SIZE, SIZE), bool)
    digits: list[Digit] = []
    for side in sides(rng):
        place = find_place(rng, taken, side)
        if place is None:
            continue
        scan = int(choice[rng.randint(len(choice))])
        y, x = place
        window = slice(y, y + side), slice(x, x + side)
        share = enlarge(scans[scan], side)
        colour = rng.uniform(190, 255) + rng.uniform(-25, 25, 3)
        image[window] += share[..., None] * (colour.clip(0, 255) - image[window])
        mask = np.zeros((SIZE, SIZE), bool)
        mask[window] = share >= INK
        rim[window] |= (share >= RIM) & (share < INK)
        taken[window] = True
        digits.append(Digit(int(labels[scan]), scan, mask))
    return Scene(np.rint(image).astype(np.uint8), tuple(digits), rim, name)


def background(rng: np.random.RandomState, photograph: np.ndarray) -> np.ndarray:
    """Cut a square out of a photograph and dim it, so that ink stands out.

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
    """Choose how many digits, and how large; the largest first, as they need room."""
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


def enlarge(scan: np.ndarray, side: int) -> np.ndarray:
    """Enlarge a scan as the students' pipeline does; return the share of ink."""
    large = cv2.resize(scan, (side, side), interpolation=cv2.INTER_LINEAR)
    return large.astype(float) / 255
