"""Small checks that losses and necks share."""

import torch
from torch import Tensor


def check_same_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse two tap values that can't be compared element by element.

    Raises:
        ValueError: If the shapes differ; the message tells both.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's tokens are {tuple(student.shape)} and the teacher's "
            f'{tuple(teacher.shape)}, but this loss compares them one by one: give '
            "the term a neck that maps the student's width to the teacher's, such "
            "as neck=dict(type='mmvitkd.LinearProjector'), or tap the same grid"
        )


def check_logits(student: Tensor, teacher: Tensor) -> None:
    """Refuse logits that don't belong to the same classes.

    Raises:
        ValueError: If either is not ``(B, K)``, or the class counts differ.
    """
    if student.ndim != 2 or teacher.ndim != 2:
        raise ValueError(
            'a loss on logits takes (B, K) from both sides, got '
            f'{tuple(student.shape)} from the student and {tuple(teacher.shape)} '
            "from the teacher: tap the classification heads ('head')"
        )
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f'the student has {student.shape[1]} classes and the teacher '
            f'{teacher.shape[1]}: a loss on logits needs the same classes on both '
            'sides; fine-tune the teacher on them, or keep terms on features only'
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``, else raise ValueError."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got '{value}'")
    return value


def check_positive(name: str, value: float) -> float:
    """Return ``value`` if it is above zero, else raise ValueError."""
    if not value > 0:
        raise ValueError(f'{name} must be above 0, got {value}')
    return value


def random_mask(batch: int, tokens: int, ratio: float, device: torch.device) -> Tensor:
    """Mask the same number of tokens in every sample, drawn at random.

    As in MAE, ``int(tokens * (1 - ratio))`` tokens stay, here at least one, so
    that the student always has a say.

    Returns:
        A bool tensor ``(batch, tokens)``, True where a token is masked.
    """
    kept = max(int(tokens * (1 - ratio) + 1e-6), 1)  # 10 * (1 - 0.9) is 0.99...
    rank = torch.rand(batch, tokens, device=device).argsort(1).argsort(1)
    return rank >= kept
