"""What a comparison tries of its methods, as Optuna's studies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage

from ..tuning.space import Space
from ..tuning.study import Trials, open_storage, open_study
from .methods import Method

FACTOR = 'factor'
SPACE: Space = {FACTOR: FloatDistribution(1e-9, 1e9, log=True)}


class Studies:
    """A study for each method, whose trials are factors of its weights.

    The factors are the comparison's, not a sampler's: all methods have as many.

    Args:
        root: The folder of the runs, and of the studies.
        seeds: Of every try.
    """

    def __init__(self, root: Path, seeds: Sequence[int]) -> None:
        self.root, self.seeds = root, seeds
        self._trials: dict[str, Trials] = {}

    @cached_property
    def _storage(self) -> RDBStorage:
        return open_storage(self.root)

    def try_all(self, method: Method, factors: Sequence[float]) -> None:
        """Begin trials of factors that have none; end those whose runs have ended."""
        if factors:
            self._of(method).try_all({FACTOR: one} for one in factors)

    def _of(self, method: Method) -> Trials:
        if method.name not in self._trials:
            # another training of the same name, or other seeds, are another study
            key = method.setting(tuning=True).key
            seeds = ' '.join(map(str, self.seeds))
            name = f'{method.name}, {key}, seeds {seeds}'
            trials = Trials(
                open_study(self._storage, name, {}),
                SPACE,
                lambda point: method.setting(point[FACTOR], tuning=True),
                self.seeds,
                self.root,
            )
            trials.give_up()
            self._trials[method.name] = trials
        return self._trials[method.name]
