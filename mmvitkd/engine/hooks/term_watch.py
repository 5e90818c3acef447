"""What is said about a distiller's terms whose gradients go wrong."""

from collections import Counter
from statistics import median
from typing import NamedTuple

DOMINATES = 10.0  # times the task's gradient
OPPOSES = -0.2  # the cosine with it
MATTERS = 0.1  # of the task's gradient, below which an opposing term does no harm
# looks in a row after which a fault is told
LASTS = {'dominates': 5, 'silent': 3, 'opposes': 10}


class TermGradient(NamedTuple):
    """A term's gradient: its norm, its cosine with the task's.

    ``off`` tells that a schedule has set the term's weight to zero.
    """

    norm: float
    cosine: float | None = None
    off: bool = False


class TermWatch:
    """Looks at the terms' gradients one step after another, and tells a fault once.

    Args:
        where: At which parameters they are taken, for the messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._task_norms: list[float] = []
        self._streaks: Counter[tuple[str, str]] = Counter()
        self._told: set[tuple[str, str]] = set()

    def look(self, terms: dict[str, TermGradient], task: float | None) -> list[str]:
        """Return what is to be said after one more step.

        Args:
            terms: Gradients by the term's name.
            task: Norm of the task's gradient, if there is a task.
        """
        if task is not None:
            self._task_norms.append(task)
            # that of a training set which is learnt by heart vanishes, rightly
            task = max(task, median(self._task_norms))
        said = []
        for name, gradient in terms.items():
            for fault in LASTS:
                key = name, fault
                found = has_fault(fault, gradient, task)
                self._streaks[key] = self._streaks[key] + 1 if found else 0
                if self._streaks[key] >= LASTS[fault] and key not in self._told:
                    self._told.add(key)
                    said.append(self._message(name, fault))
        return said

    def _message(self, name: str, fault: str) -> str:
        term, looks = f"term '{name}'", f'{LASTS[fault]} times in a row'
        if fault == 'dominates':
            return (
                f"{term} dominates the task: {looks} its gradient at the student's "
                f"{self.where} was more than {DOMINATES:g} times the task's, that of "
                "the student's own loss. Lower the loss_weight of the term"
            )
        if fault == 'opposes':
            return (
                f'{term} pulls against the task: {looks} the cosine of its gradient '
                f"with that of the student's own loss was below {OPPOSES}. Lower the "
                'loss_weight of the term, tap other layers, or end it early by a '
                'TermWeightHook'
            )
        return (
            f"{term} has no gradient: {looks} it was zero at the student's "
            f'{self.where}, so nothing is learnt from it there. Is its loss_weight 0, '
            'or its tap behind something that is frozen or detached?'
        )


def has_fault(fault: str, gradient: TermGradient, task: float | None) -> bool:
    """Whether a term's gradient has one of the faults in one step."""
    if fault == 'silent':
        return gradient.norm == 0 and not gradient.off
    if task is None or gradient.cosine is None:
        return False
    if fault == 'dominates':
        return gradient.norm > DOMINATES * task
    return gradient.norm > MATTERS * task and gradient.cosine < OPPOSES
