"""The runs of a comparison: tries on the validation split, the best on the test."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from ablation_lib.results import Measured, measure
from ablation_lib.tables import Run

from .methods import Comparison, Method
from .page import Line


class Group(NamedTuple):
    """Runs that take equally long.

    Args:
        name: The method's, or that of a teacher's training.
        runs: Those that the plan has.
        possible: Those that it may come to have.
    """

    name: str
    runs: list[Run]
    possible: list[Run]


class Plan:
    """What is to do, and what came out of it so far.

    Args:
        comparison: The methods' file.
        only: Some of the methods, to which those are added that all are compared with;
            None: all.
        seeds: How many the test has.
        tuning_seeds: How many every try has.
        root: The folder of the runs.

    Raises:
        ValueError: If a method is unknown, or a seed would both tune and test.
    """

    def __init__(
        self,
        comparison: Comparison,
        only: list[str] | None,
        seeds: int,
        tuning_seeds: int,
        root: Path,
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

    def factors(self, method: Method) -> tuple[float, ...]:
        """Return a method's tries: the same for all that have terms."""
        return self.comparison.factors if method.tuned else ()

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
        return in_order(
            run for method in self.methods for run in self.tuning_of(method)
        )

    def test(self) -> list[Run]:
        """List all runs that test, and the teachers', as far as factors are chosen."""
        return in_order(
            run
            for line in self.lines()
            if line.factor is not None
            for run in self.test_of(line.method, line.factor)
        )

    def groups(self) -> list[Group]:
        """List the runs by what they train, at factor 1 while none is chosen."""
        groups = [
            Group(run.setting.name, [run], [run])
            for run in self.tuning()
            if run.setting in self.comparison.teachers
        ]
        for line in self.lines():
            method, tuning = line.method, self.tuning_of(line.method)
            factors = self.factors(method) or (1.0,)
            possible = [run for one in factors for run in self.test_of(method, one)]
            test = self.test_of(method, line.factor or 1.0)
            groups.append(Group(method.name, tuning + test, tuning + possible))
        return groups

    def lines(self) -> list[Line]:
        """Collect what is finished, without costs."""
        return [self._line(method) for method in self.methods]

    def _line(self, method: Method) -> Line:
        validated = {
            factor: measure(method.setting(factor, True), self.tuning_seeds, self.root)
            for factor in self.factors(method)
        }
        factor = choose(validated, len(self.tuning_seeds))
        test = Measured()
        if factor is not None:
            test = measure(method.setting(factor), self.seeds, self.root)
        return Line(method, factor, validated, test)


def in_order(runs: Iterable[Run]) -> list[Run]:
    """List every run once, seed by seed, each after its teachers."""
    ordered = sorted(runs, key=lambda run: run.seed)
    return list(
        dict.fromkeys(one for run in ordered for one in (*run.teachers.values(), run))
    )


def choose(validated: dict[float, Measured], seeds: int) -> float | None:
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
