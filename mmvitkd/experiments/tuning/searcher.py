"""A search by Optuna: as many trials at a time as there are jobs, poor ones pruned."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from ..run import Run
from ..schedule import Watcher
from .space import Point
from .study import Trials

METRIC = 'accuracy/top1'  # of a validation
STARTUP = 5  # trials that none is pruned before
WARM_UP = 0.2  # of a training, in which it is not pruned
GIVE_UP = 3  # trials that failed before any came to an end
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Searcher(Watcher):
    """Asks for trials, and tells what came out.

    The seeds of a trial are run one after the other, so that a trial which is pruned by
    its first seed has no others.

    Args:
        trials: Of the study.
        count: How many trials the study is to have, pruned ones included.
        jobs: How many runs at a time.
        sampler: ``'tpe'`` or ``'random'``; of a grid, all points of which are enqueued,
            ``'random'``.
        seed: By which, and by what is finished, a sampler chooses.
        names: Of the settings, for people.
    """

    def __init__(
        self,
        trials: Trials,
        count: int,
        jobs: int,
        sampler: str,
        seed: int,
        names: dict[str, str],
    ) -> None:
        self.trials, self.study = trials, trials.study
        self.count, self.jobs = count, jobs
        self.sampler, self.seed, self.names = sampler, seed, names
        self.left = count - self.done
        self.hand: dict[Run, Trial] = {}
        self.failed = 0
        self._sizes: dict[Run, int] = {}  # of its logs when they were last read
        self._pruned: list[Run] = []

    @property
    def done(self) -> int:
        """Count the trials that came to an end."""
        return len(self.study.get_trials(deepcopy=False, states=DONE))

    def more(self) -> list[Run]:
        """Return runs for the jobs that are free."""
        new: list[Run] = []
        while len(self.hand) < self.jobs and (run := self._next()) is not None:
            new.append(run)
        return new

    def _next(self) -> Run | None:
        while True:
            for trial in [*self.trials.open.values()]:
                run = self._due(trial)
                if run is not None:
                    self.hand[run] = trial
                    return run
            if self.left < 1 or (self.failed >= GIVE_UP and not self.done):
                return None
            self._ask()

    def _due(self, trial: Trial) -> Run | None:
        """Return a trial's next run; end it, if there is none."""
        if trial in self.hand.values() or self._tell(trial):
            return None
        runs = [run for run in self.trials.runs(trial.params) if not run.result()]
        # two trials of one point share their runs
        return runs[0] if runs and runs[0] not in self.hand else None

    def _ask(self) -> None:
        trials = self.study.get_trials(deepcopy=False)
        known = {frozenset(trial.params.items()) for trial in trials}
        self.study.sampler = _sampler(self.sampler, self.seed + len(known))
        trial = self.trials.ask()
        for run in self.trials.runs(trial.params):
            run.forget_failure()
        self.left -= 1
        print(f'trial {trial.number}: {self._text(trial)}', flush=True)

    def at(self, active: Sequence[Run]) -> None:
        """Report validations, and find trials to prune."""
        for run in active:
            trial = self.hand.get(run)
            if trial is None or run.result() or self._size(run) == self._sizes.get(run):
                continue
            self._sizes[run] = self._size(run)
            if self._report(trial, run):
                self._pruned.append(run)

    def unwanted(self) -> list[Run]:
        """Return the runs of trials that are pruned now."""
        pruned, self._pruned = self._pruned, []
        for run in pruned:
            trial = self.hand.pop(run)
            del self.trials.open[trial.number]
            self._say(self.study.tell(trial, state=TrialState.PRUNED))
        return pruned

    def ended(self, run: Run, left: Sequence[Run]) -> None:
        """Go on with its trial, or end that."""
        trial = self.hand.pop(run)
        if not self._tell(trial):
            rest = len([r for r in self.trials.runs(trial.params) if not r.result()])
            value = (run.result() or {})['top1']
            print(f'{value:6.2f}  trial {trial.number}, seed {run.seed}; {rest} to go')

    def _tell(self, trial: Trial) -> bool:
        """End a trial whose runs have all ended; return whether it was."""
        for run in self.trials.runs(trial.params):
            self._report(trial, run)
        told = self.trials.tell(trial)
        if told is not None:
            self.failed += told.state == TrialState.FAIL
            self._say(told)
        return told is not None

    def _report(self, trial: Trial, run: Run) -> bool:
        """Report what a run's validations measured; return whether to prune it."""
        _, length = run.length
        begin = length * [*self.trials.seeds].index(run.seed)
        trials = self.study.get_trials(deepcopy=False)
        known = {*trials[trial.number].intermediate_values}
        prune = False
        for step, value in run.validations(METRIC).items():
            if begin + step not in known:
                trial.report(value, begin + step)
                prune = prune or (step < length and trial.should_prune())
        return prune

    def _say(self, trial: FrozenTrial) -> None:
        text = f'trial {trial.number}: {self._text(trial)}'
        if trial.state == TrialState.FAIL:
            (reason, *_) = self.trials.measure(trial.params).failures.values()
            print(f'FAILED: {text}: {reason}', flush=True)
            return
        value = f'{trial.value:6.2f}  ' if trial.value is not None else ''
        pruned = 'pruned, ' if trial.state == TrialState.PRUNED else ''
        counted = f'{self.done} of {self.count}'
        best = best_trial(self.study.get_trials(deepcopy=False))
        best_text = f', best {best.value:.2f}' if best is not None else ''
        print(f'{value}{pruned}{text}  ({counted}{best_text})', flush=True)

    def _text(self, trial: FrozenTrial | Trial) -> str:
        return point_text(trial.params, self.names)

    @staticmethod
    def _size(run: Run) -> int:
        logs = run.folder.glob('*/vis_data/scalars.json')
        return sum(log.stat().st_size for log in logs)


def best_trial(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the trial of the highest value, of equal ones the first."""
    done = [one for one in trials if one.state == TrialState.COMPLETE]
    return max(done, key=lambda one: one.value or 0.0, default=None)


def point_text(point: Point, names: dict[str, str]) -> str:
    """Write a point for people."""
    return ', '.join(
        f'{names[key]} {format(value, ".4g") if isinstance(value, float) else value}'
        for key, value in point.items()
    )


def make_pruner(length: int | None) -> BasePruner:
    """Make what ends trials below the median of others at the same validation.

    Args:
        length: Of a training, in epochs or iterations; None: nothing is pruned.
    """
    if length is None:
        return NopPruner()
    return MedianPruner(STARTUP, n_warmup_steps=round(WARM_UP * length))


def _sampler(kind: str, seed: int) -> BaseSampler:
    if kind == 'tpe':
        return TPESampler(seed=seed, constant_liar=True)
    return RandomSampler(seed)
