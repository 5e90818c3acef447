"""Of each image, some teachers are left out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmvitkd.models.utils import check_number

from .term import TermSpec


def drop_teachers(
    losses: Mapping[str, Tensor], teachers: Mapping[str, str], probability: float
) -> dict[str, Tensor]:
    """Leave out teachers of each image, but never the one that it is furthest from.

    From `UNIC <https://arxiv.org/abs/2408.05088>`_, as released: a teacher's loss is
    the mean of its terms'; what is left counts alike, over the batch.

    Args:
        losses: Of each term, ``(B, )``.
        teachers: The term's teacher.
        probability: By which a teacher is left out.

    Returns:
        Of each term, its part of the batch's loss.

    Raises:
        ValueError: If some terms have not seen all images.
    """
    if len({len(values) for values in losses.values()}) > 1:
        seen = {term: len(values) for term, values in losses.items()}
        raise ValueError(
            f'teacher_dropping needs losses of the same images, got {seen}: of terms '
            'that need labels in a batch with images that have none?'
        )
    names = list(dict.fromkeys(teachers[term] for term in losses))
    terms = {n: [term for term in losses if teachers[term] == n] for n in names}
    means = torch.stack(
        [torch.stack([losses[t] for t in terms[n]]).mean(0) for n in names]
    ).detach()  # (teachers, B)
    kept = torch.rand_like(means) >= probability
    kept |= means == means.amax(0)
    shares = kept / kept.sum()
    return {
        term: (share * losses[term]).sum() / len(terms[name])
        for name, share in zip(names, shares, strict=True)
        for term in terms[name]
    }


def check_dropping(probability: float, specs: list[TermSpec], terms: Any) -> None:
    """Refuse to leave teachers out where that has no meaning.

    Raises:
        ValueError: If the probability is not below 1, there are not two teachers whose
            terms have losses of each image, or one of these has a view.
    """
    if not 0 <= check_number('teacher_dropping', probability) < 1:
        raise ValueError(
            f'teacher_dropping must be at least 0 and below 1, got {probability}'
        )
    each = [s for s in specs if getattr(terms[s.name].loss, 'per_image', False)]
    if len({spec.teacher_name for spec in each}) < 2:
        raise ValueError(
            f'teacher_dropping={probability:g} needs two teachers at least whose terms '
            "have a loss of each image, such as dict(type='UNICLoss', "
            f"reduction='none'), got {[spec.name for spec in each]}"
        )
    if viewed := [spec.name for spec in each if spec.view is not None]:
        raise ValueError(
            f'teacher_dropping={probability:g}: the terms {viewed} see some of the '
            "images only: leave out their view, or their reduction='none'"
        )
