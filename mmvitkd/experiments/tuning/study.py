"""An Optuna study of settings: a trial is one setting, run by every seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from mmvitkd.utils.errors import ConfigError

from ..results import Measured, measure
from ..run import Run, Setting
from .space import Point, Space

FILE = 'studies.db'  # in a work dir

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_storage(folder: Path) -> RDBStorage:
    """Open the studies of a folder; one call at a time may write to them.

    Raises:
        ConfigError: If their file can't be read.
    """
    file = folder / FILE
    try:
        return RDBStorage(f'sqlite:///{file.absolute()}')
    except (SQLAlchemyError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise ConfigError(f"'{file}' can't be read as Optuna's: {line}") from error


def open_study(storage: BaseStorage, name: str, identity: dict[str, Any]) -> Study:
    """Open a study whose higher values are better, or begin it.

    Args:
        storage: What it is in.
        name: Of the study.
        identity: What all of its trials share, as JSON can hold it.

    Raises:
        ConfigError: If it is of something else.
    """
    study = optuna.create_study(
        storage=storage, study_name=name, direction='maximize', load_if_exists=True
    )
    known = study.user_attrs
    for key, value in identity.items():
        if known.get(key, value) != value:
            raise ConfigError(
                f"the study '{name}' has another {key} ({_text(known[key])}, not "
                f'{_text(value)}): repeat what it was begun with, or name a new one by '
                '--study'
            )
        if key not in known:
            study.set_user_attr(key, value)
    return study


def stored_study(folder: Path, name: str, identity: dict[str, Any]) -> Study | None:
    """Open a study of a folder, if it is there; nothing is written."""
    if not (folder / FILE).is_file():
        return None
    storage = open_storage(folder)
    there = name in optuna.get_all_study_names(storage)
    return open_study(storage, name, identity) if there else None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ' '.join(f'{key}={one}' for key, one in value.items())
    return str(value)


class Trials:
    """The trials of a study, asked and told.

    Args:
        study: The study, which no other process writes to.
        space: The range of every setting.
        make: Makes the setting of a point.
        seeds: Of each trial's runs.
        root: The folder of the runs.
    """

    def __init__(
        self,
        study: Study,
        space: Space,
        make: Callable[[Point], Setting],
        seeds: Sequence[int],
        root: Path,
    ) -> None:
        self.study, self.space, self.make = study, space, make
        self.seeds, self.root = seeds, root
        self.open: dict[int, Trial] = {}  # asked and not yet told, by number
        self._settings: dict[frozenset, Setting] = {}

    def give_up(self) -> None:
        """Let those fail that an earlier call has left unfinished.

        Asked once more, their runs go on from their checkpoints.
        """
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def setting(self, point: Point) -> Setting:
        """Return the setting of a point, made once."""
        key = frozenset(point.items())
        if key not in self._settings:
            self._settings[key] = self.make(point)
        return self._settings[key]

    def runs(self, point: Point) -> list[Run]:
        """List the runs of a point."""
        setting = self.setting(point)
        return [Run(setting, seed, self.root) for seed in self.seeds]

    def measure(self, point: Point) -> Measured:
        """Collect what the runs of a point measured."""
        return measure(self.setting(point), self.seeds, self.root)

    def enqueue(self, points: Iterable[Point]) -> None:
        """Let points be asked next, but those of trials that did not fail."""
        states = (state for state in TrialState if state is not TrialState.FAIL)
        known = [point_of(one) for one in self.study.get_trials(states=(*states,))]
        for point in points:
            if point not in known:
                self.study.enqueue_trial(point)
                known.append(point)

    def unfinished(self) -> list[Point]:
        """List the points of trials that failed, or were given up."""
        trials = self.study.get_trials(states=(TrialState.FAIL,))
        return [one.params for one in trials if one.params.keys() == self.space.keys()]

    def waiting(self) -> int:
        """Count the points that are still to be asked."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def ask(self) -> Trial:
        """Begin a trial at the first point that waits, or at one of the sampler's."""
        trial = self.study.ask(self.space)
        self.open[trial.number] = trial
        return trial

    def tell(self, trial: Trial) -> FrozenTrial | None:
        """End a trial whose runs have ended: by their mean top-1, or as failed."""
        measured = self.measure(trial.params)
        if measured.failures:
            state, value = TrialState.FAIL, None
        elif len(measured.top1) == len(self.seeds):
            state, value = TrialState.COMPLETE, mean(measured.top1)
        else:
            return None
        del self.open[trial.number]
        return self.study.tell(trial, value, state)

    def try_all(self, points: Iterable[Point]) -> None:
        """Ask points that no trial has, and tell every trial that has ended."""
        self.enqueue(points)
        while self.waiting():
            self.ask()
        for trial in [*self.open.values()]:
            self.tell(trial)


def point_of(trial: FrozenTrial) -> Point:
    """Return a trial's point, also of one that still waits."""
    return trial.system_attrs.get('fixed_params', trial.params)
