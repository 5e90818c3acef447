"""How often student and teachers are right, and whether a teacher is near chance."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from mmvitkd.models.classifiers.tasks import task_of
from mmvitkd.models.utils import hard_labels

STUDENT = 'student'
# Cohen's kappa up to which an agreement is called slight (Landis and Koch, 1977)
SLIGHT = 0.2
RISK = 1e-3  # of calling a teacher that is just above that near chance


@contextmanager
def watch_logits(model: Any) -> Iterator[dict[str, Tensor]]:
    """Collect the logits of the forwards inside, by student and teachers.

    Those of classifiers are ``(B, K)``; a teacher of another task than the student's
    has none. Teachers run to their heads in there, whatever is tapped. Of stored
    outputs see :func:`stored_logits`.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: tuple, output: Any) -> None:
            if (value := task.logits(output)) is not None:
                seen[name] = value.detach()

        return hook

    # of stored outputs there is no model
    task = task_of(model.student)
    online = {
        n: t
        for n, t in model.teachers.items()
        if t.model is not None and task_of(t.model).scope == task.scope
    }
    models = {STUDENT: model.student, **{n: t.model for n, t in online.items()}}
    with ExitStack() as undo:
        for name, one in models.items():
            if (module := task.logits_module(one)) is not None:
                undo.enter_context(module.register_forward_hook(keep(name)))
        for teacher in online.values():
            undo.callback(setattr, teacher, 'stop_early', teacher.stop_early)
            teacher.stop_early = False
        yield seen


def stored_logits(outputs: dict, classes: int) -> dict[str, Tensor]:
    """Find the logits of ``classes`` classes among what the terms tap."""
    return {
        name: tapped.value
        for name, taps in outputs.items()
        for tap, tapped in taps.items()
        if tap.tokens == 'patch' and tapped.value.shape[1:] == (classes,)
    }


def rates(logits: dict[str, Tensor], target: Tensor | None) -> dict[str, Tensor]:
    """Compare the predictions on a batch with the labels and with each other.

    A teacher of other classes than the student's is left out.

    Args:
        logits: ``(B, K)`` by name.
        target: Indices ``(B,)``; of mixed labels ``(B, K)``, the class of the largest
            share counts; None leaves out what is right.

    Returns:
        ``accuracy/<name>`` and ``agreement/<teacher>``, from 0 to 1.
    """
    student = logits.get(STUDENT)
    if student is None:
        return {}
    chosen = {
        name: value.argmax(1)
        for name, value in logits.items()
        if value.shape == student.shape
    }
    found = {}
    if target is not None:
        label = hard_labels(target, 'accuracy')
        found = {f'accuracy/{name}': a == label for name, a in chosen.items()}
    for name, prediction in chosen.items():
        if name != STUDENT:
            found[f'agreement/{name}'] = prediction == chosen[STUDENT]
    return {name: hits.float().mean() for name, hits in found.items()}


def binomial_cdf(hits: int, trials: int, rate: float) -> float:
    """Return the probability of at most so many hits."""
    log_all = math.lgamma(trials + 1)
    logs = (
        log_all
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(rate)
        + (trials - k) * math.log1p(-rate)
        for k in range(hits + 1)
    )
    return min(sum(map(math.exp, logs)), 1.0)


def near_chance(hits: int, images: int, classes: int) -> bool:
    """Whether a teacher is surely no better than slightly above chance.

    That is, by Cohen's kappa 0.2 over the chance of one in ``classes``; a teacher just
    as good as that would have so few hits less than once in a thousand times.
    """
    if classes < 2:  # whatever is said of one class is right
        return False
    rate = 1 / classes + SLIGHT * (1 - 1 / classes)
    return binomial_cdf(hits, images, rate) < RISK


def chance_warning(name: str, hits: int, images: int, classes: int) -> str:
    """Say that a teacher is near chance, and what to look at."""
    return (
        f"teacher '{name}' is near chance: right on {hits} of {images} training "
        f'images, {hits / images:.1%}, where chance is {1 / classes:.1%}. Look at the '
        'mean and std of its data_preprocessor (they are for 0..255, and to_rgb must '
        'be as it was trained), at the order of its classes, and whether the '
        'checkpoint belongs to the config. Features of a teacher whose head has not '
        'learnt these classes may be good all the same'
    )
