"""The runs of a comparison: tries on the validation split, the best on the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from mmvitkd.utils.statistics import Difference

from ..progress import Group
from ..results import Measured, compare_with, measure
from ..run import Run, in_order
from .methods import Comparison, Method

if TYPE_CHECKING:
    from .studies import Studies


@dataclass(frozen=True)
class Row:
    """What is known of a method."""

    method: Method
    factor: float | None  # the one that was chosen; None while it is not
    validated: Mapping[float, Measured]  # on the validation split, by the factors tried
    test: Measured  # of the chosen one, on the test split
    # from other methods in the test's top-1, by their names
    differences: Mapping[str, Difference] = field(default_factory=dict)
    # as `measure_costs` returns them; empty where they are not measured
    costs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the method's name."""
        return self.method.name

    @property
    def at_the_end(self) -> bool:
        """Whether a factor beyond those tried might be better."""
        ends = (min(self.validated), max(self.validated)) if self.validated else ()
        return self.factor in ends

    @property
    def failures(self) -> list[str]:
        """List why runs failed."""
        every = (*self.validated.values(), self.test)
        return [reason for one in every for reason in one.failures.values()]


class Plan:
    """What is to do, and what came out of it so far.

    Args:
        comparison: The methods' file.
        only: Some of the methods, to which those are added that all are compared with;
            None: all.
        seeds: How many the test has.
        tuning_seeds: How many every try has.
        root: The folder of the runs.
        studies: Whether what is tried is kept there as Optuna's studies, a study for
            each method. Defaults to False: nothing is written.

    Raises:
        ValueError: If a method is unknown, or a seed would both tune and test.
    """

    def __init__(
        self,
        comparison: Comparison,
        only: Sequence[str] | None,
        seeds: int,
        tuning_seeds: int,
        root: Path,
        studies: bool = False,
    ) -> None:
        first = comparison.first_tuning_seed
        if seeds > first:
            raise ValueError(
                f'--seeds {seeds}: the tuning has the seeds from {first} on, which the '
                'test must not have'
            )
        self.comparison = comparison
        self.methods = comparison.selected(only)
        self.seeds = range(seeds)
        self.tuning_seeds = range(first, first + tuning_seeds)
        self.root = root
        self.studies: Studies | None = None
        if studies:
            from .studies import Studies  # whose library reports do without

            self.studies = Studies(root, self.tuning_seeds)

    def factors(self, method: Method) -> tuple[float, ...]:
        """Return a method's tries: the same for all that have terms.

        Where the best one so far lies at an end of the range, the range is widened
        there by a step as wide as its last, as often as the comparison says.
        """
        factors = sorted(self.comparison.factors) if method.tuned else []
        for _ in range(self.comparison.widenings if len(factors) > 1 else 0):
            best = choose(self._validated(method, factors), len(self.tuning_seeds))
            if best == factors[0]:
                factors.insert(0, factors[0] ** 2 / factors[1])
            elif best == factors[-1]:
                factors.append(factors[-1] ** 2 / factors[-2])
            else:
                break
        return tuple(factors)

    def stages(self) -> tuple[Callable[[], list[Run]], ...]:
        """List what is to run, each when what is before it is finished."""
        return (*[self._try] * (1 + self.comparison.widenings), self.test)

    def _try(self) -> list[Run]:
        """List the tries that follow from what is finished, and tell the studies."""
        if self.studies is not None:
            for method in self.methods:
                self.studies.try_all(method, self.factors(method))
        return self.tuning()

    def tuning_of(self, method: Method) -> list[Run]:
        """List the runs that tune a method."""
        return [
            Run(method.setting(factor, tuning=True), seed, self.root)
            for factor in self.factors(method)
            for seed in self.tuning_seeds
        ]

    def test_of(self, method: Method, factor: float) -> list[Run]:
        """List the runs that test a method."""
        return [Run(method.setting(factor), seed, self.root) for seed in self.seeds]

    def tuning(self) -> list[Run]:
        """List all runs that tune, and the teachers'."""
        return _by_seed(
            run for method in self.methods for run in self.tuning_of(method)
        )

    def test(self) -> list[Run]:
        """List all runs that test, and the teachers', as far as factors are chosen."""
        return _by_seed(
            run
            for row in self.rows()
            if row.factor is not None
            for run in self.test_of(row.method, row.factor)
        )

    def groups(self) -> list[Group]:
        """List the runs by what they train, at factor 1 while none is chosen."""
        groups = [
            Group(run.setting.name, [run])
            for run in in_order([*self.tuning(), *self.test()])
            if run.setting in self.comparison.teachers
        ]
        for row in self.rows():
            method, tuning = row.method, self.tuning_of(row.method)
            factors = self.factors(method) or (1.0,)
            possible = [run for one in factors for run in self.test_of(method, one)]
            test = self.test_of(method, row.factor or 1.0)
            groups.append(Group(method.name, tuning + test, possible))
        return groups

    def rows(self) -> list[Row]:
        """Collect what is finished, without costs."""
        rows = [self._row(method) for method in self.methods]
        references = self.comparison.references.values()
        return compare(rows, references, self.comparison.paired)

    def _row(self, method: Method) -> Row:
        validated = self._validated(method, self.factors(method))
        factor = choose(validated, len(self.tuning_seeds))
        test = Measured()
        if factor is not None:
            test = measure(method.setting(factor), self.seeds, self.root)
        return Row(method, factor, validated, test)

    def _validated(
        self, method: Method, factors: Iterable[float]
    ) -> dict[float, Measured]:
        return {
            factor: measure(method.setting(factor, True), self.tuning_seeds, self.root)
            for factor in factors
        }


def _by_seed(runs: Iterable[Run]) -> list[Run]:
    return in_order(sorted(runs, key=attrgetter('seed')))


def compare(
    rows: Sequence[Row], references: Iterable[str], paired: bool = False
) -> list[Row]:
    """Compare rows with each of the references, whose tests are a family each.

    Args:
        rows: With what the test measured.
        references: Names of some of them.
        paired: Whether a seed makes all rows' runs alike. Defaults to False.
    """
    found: dict[str, dict[str, Difference]] = {row.name: {} for row in rows}
    for reference in references:
        compared = compare_with(reference, {row.name: row.test for row in rows}, paired)
        for name, difference in compared.items():
            found[name][reference] = difference
    return [replace(row, differences=found[row.name]) for row in rows]


def choose(validated: Mapping[float, Measured], seeds: int) -> float | None:
    """Return the factor of the best mean; of equal ones that nearest to 1, the lower.

    Args:
        validated: By factor. One of which a seed failed is out. No factor at all is a
            method without one, which counts as 1.
        seeds: How many each factor must have; while one is missing, none is chosen.
    """
    if not validated:
        return 1.0
    if any(len(one.top1) + len(one.failures) < seeds for one in validated.values()):
        return None
    means = {
        factor: mean(one.top1) for factor, one in validated.items() if not one.failures
    }

    def rank(factor: float) -> tuple[float, float, float]:
        return -means[factor], max(factor, 1 / factor), factor

    return min(means, key=rank, default=None)
