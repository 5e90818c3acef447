"""Names that a user may have meant."""

import difflib
from collections.abc import Iterable

LONG = 8  # letters


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the hint that an error about an unknown name ends with, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f": did you mean '{near[0]}'?" if near else ''


def is_slip(name: str, known: Iterable[str]) -> bool:
    """Whether a name is a known one with a letter or two wrong.

    Of a short one a single letter, or two that have changed places: 'codec' is no
    misspelt 'model'.
    """
    for other in known:
        two = len(other) >= LONG or sorted(name) == sorted(other)
        near = distance(name, other) <= (2 if two else 1)
        if near and name != other and len(other) > 4:
            return True
    return False


def distance(one: str, other: str) -> int:
    """Count the letters to insert, leave out or replace; 3 means any more."""
    if abs(len(one) - len(other)) > 2:
        return 3
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            best = min(row[j] + 1, row[j - 1] + 1, before + (a != b))
            before, row[j] = row[j], best
    return row[-1]
