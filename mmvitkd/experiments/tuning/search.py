"""A search as a whole: its study, its teachers, its trials, and what is written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.config_values import check_schedulers, check_values
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.run_lock import lock_dir

from ..execution import choose_launcher
from ..progress import Progress, show_failures
from ..results import accuracy_text, made_by, markdown_table, write_page
from ..run import Run, Setting, in_order, teachers_of
from ..schedule import Launcher, run_all
from ..timing import Estimate, duration, estimate_all
from .searcher import DONE, Searcher, best_trial, make_pruner, point_text
from .source import Source, short_names
from .space import (
    Point,
    Space,
    decode,
    describe,
    ends,
    grid,
    option_texts,
    read_space,
)
from .study import FILE, Trials, open_storage, open_study, stored_study

TRIALS = 20


def search(args: argparse.Namespace, source: Source) -> bool:
    """Search, or do what ``--dry-run`` and ``--report-only`` ask for instead.

    Returns:
        Whether a trial failed.

    Raises:
        ValueError: If a setting or range can't be, the study is another's, or another
            call works in the folder.
    """
    launcher = choose_launcher(args)
    space = read_space(source.search, source.training({}))
    if not space:
        raise ConfigError('what is searched? Give --search KEY=RANGE')
    plan = _Plan(args, source, space)
    if args.dry_run or args.report_only:
        study = stored_study(args.work_dir, plan.name, plan.identity)
        if args.dry_run:
            plan.show(study)
            return False
        if study is None:
            folder = args.work_dir
            raise ValueError(f"there is no study '{plan.name}' in '{folder / FILE}'")
        return plan.write(plan.trials(study))
    plan.check()
    with lock_dir(args.work_dir):
        return plan.run(launcher)


class _Plan:
    """A search as the command line has it."""

    def __init__(self, args: argparse.Namespace, source: Source, space: Space) -> None:
        self.args, self.source, self.space = args, source, space
        self.name = args.study or args.file.stem
        self.names = short_names([*space])
        self.points = grid(space) if args.sampler == 'grid' else []
        self.base = source.setting(self.name, {})
        self.identity = {
            'search': describe(space),
            'seeds': args.seeds,
            'training': self.base.key,
        }

    def make(self, point: Point) -> Setting:
        """Make the setting of a point."""
        changes = decode(point)
        return self.source.setting(point_text(changes, self.names), changes)

    def trials(self, study: Study) -> Trials:
        """Return the trials of a study."""
        args = self.args
        return Trials(study, self.space, self.make, args.seeds, args.work_dir)

    def check(self) -> None:
        """Refuse what no run could do.

        Raises:
            ValueError: If there is such a thing.
        """
        source = self.source
        for changes in ends(self.space):
            try:
                cfg = read_config(source.config, {**source.options, **changes})
                check_values(cfg)
                check_schedulers(cfg)
            except ValueError as error:
                raise ConfigError(str(error)) from error
        teachers = teachers_of(self.base.cfg.model)
        if source.teacher is not None and [*teachers] != ['teacher']:
            raise ValueError(
                f"'{source.teacher}' trains the only teacher of a config, which "
                f"'{source.config}' does not have"
            )
        for one in () if source.teacher is not None else teachers.values():
            file = one.get('checkpoint')
            if file and '://' not in file and not Path(file).is_file():
                raise ValueError(
                    f"its teacher '{file}' is not there: give --teacher, a checkpoint "
                    'or the config that trains it'
                )

    def show(self, study: Study | None) -> None:
        """Say what is to do, and about how long it takes."""
        args = self.args
        states = (one.state for one in study.get_trials()) if study is not None else ()
        done = sum(state in DONE for state in states)
        count = args.trials or len(self.points) or TRIALS
        found = estimate_all([self.base], args.gpus)[self.base.folder]
        each = f'no estimate: {found}'
        if isinstance(found, Estimate):
            each = f'about {duration(found.run)} each'
        for key, text in describe(self.space).items():
            print(f'{key}={text}')
        print(
            f"{max(count - done, 0)} of {count} trials to do in '{self.name}', of "
            f'{len(args.seeds)} runs, {each}, {args.jobs} at a time',
            flush=True,
        )

    def run(self, launcher: Launcher) -> bool:
        """Train the teachers, and then search."""
        args = self.args
        study = open_study(open_storage(args.work_dir), self.name, self.identity)
        self.show(study)
        teachers = in_order(Run(self.base, 0, args.work_dir).teachers.values())
        run_all(teachers, launcher, Progress(teachers, {}, accuracy_text))
        if show_failures(teachers):
            return True
        study.pruner = make_pruner(self._pruned_length())
        trials = self.trials(study)
        trials.give_up()
        trials.enqueue([*trials.unfinished(), *self.points])
        count = args.trials or TRIALS
        if self.points:
            left = trials.waiting() + len(study.get_trials(states=DONE))
            count = min(args.trials or left, left)
        seed = args.sampler_seed or 0
        sampler = args.sampler or 'tpe'
        run_all(
            [], launcher, Searcher(trials, count, args.jobs, sampler, seed, self.names)
        )
        return self.write(trials)

    def _pruned_length(self) -> int | None:
        """Return the length of the trainings, if they can be pruned."""
        unit, length = Run(self.base, 0, Path()).length
        loop = self.base.cfg.train_cfg
        if self.args.no_pruning:
            return None
        if any(key.startswith('train_cfg.max_') for key in self.space):
            print('trainings of different lengths are not compared before their ends')
            return None
        if loop.get('val_interval', 1) >= length:
            print(
                f'nothing is pruned, as the only validation is after {unit} {length}: '
                '--cfg-options train_cfg.val_interval=N'
            )
        return length

    def write(self, trials: Trials) -> bool:
        """Write all trials, and the best as a config; return whether one failed."""
        args = self.args
        shown = _shown(trials.study.get_trials())
        shown.sort(key=lambda one: (_rank(one), -(one.value or 0.0), one.number))
        records = [_record(one, trials) for one in shown]
        columns = {
            'validation top-1': [_result(one, trials) for one in shown],
            'trial': [str(one.number) for one in shown],
            **{
                self.names[key]: [f'{decode(one.params)[key]}' for one in shown]
                for key in self.space
            },
        }
        runs = [run for one in shown for run in trials.runs(one.params)]
        folder = args.work_dir / 'results'
        folder.mkdir(parents=True, exist_ok=True)
        parts = [
            f'# {self.name}',
            f'{made_by(runs)}. Mean ± standard deviation over the seeds '
            f'{", ".join(map(str, args.seeds))}, on the validation split; what was '
            'pruned has the value of its last validation.',
            markdown_table(columns),
            self._write_best(shown, folder / f'{self.name}-best.py'),
        ]
        print('\n\n'.join(filter(None, parts[2:])) + '\n')
        write_page(folder / f'{self.name}.md', parts, records)
        failed = [one for one in shown if one.state == TrialState.FAIL]
        show_failures(run for one in failed for run in trials.runs(one.params))
        return bool(failed)

    def _write_best(self, shown: Sequence[FrozenTrial], file: Path) -> str:
        """Write the best trial's settings as a config, and return them as a command."""
        best = best_trial(shown)
        if best is None:
            return ''
        config, options = self.source.config, self.source.options
        options = {**options, **decode(best.params)}
        cfg = self.source.training(decode(best.params))
        base = os.path.relpath(config, file.parent)
        text = Config(_nested(options, cfg)).pretty_text
        command = ['python -m mmvitkd train', os.path.relpath(config)]
        command += ['--cfg-options', *option_texts(options)]
        file.write_text(
            f'# The best of {self.name}: trial {best.number}, {best.value:.2f} on the '
            f'validation split.\n_base_ = {base!r}\n\n{text}',
            encoding='utf-8',
        )
        return (
            f'Best: trial {best.number}, {best.value:.2f}, as a config `{file}`, or\n\n'
            f'```shell\n{" ".join(command)}\n```'
        )


def _nested(options: dict[str, Any], cfg: Config) -> dict[str, Any]:
    """Lay settings out as a config that inherits has them; lists are written whole."""
    nested: dict[str, Any] = {}
    whole: Any = cfg.to_dict()
    for option in options:
        inner, held = nested, whole
        *above, last = option.split('.')
        for key in above:
            held = held[key]
            if isinstance(held, list):
                last = key
                break
            inner = inner.setdefault(key, {})
        else:
            held = held[last]
        if isinstance(held, dict):
            held = {'_delete_': True, **held}
        inner[last] = held
    return nested


def _shown(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """List those that were begun, without failed ones that were tried again."""
    begun = [one for one in trials if one.params]
    return [
        one
        for one in begun
        if one.state != TrialState.FAIL
        or all(o.params != one.params for o in begun if o.number > one.number)
    ]


def _rank(trial: FrozenTrial) -> int:
    order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING]
    return order.index(trial.state) if trial.state in order else len(order)


def _result(trial: FrozenTrial, trials: Trials) -> str:
    """Say what a trial measured."""
    if trial.state == TrialState.PRUNED:
        return f'{trial.value:.1f}, pruned' if trial.value is not None else 'pruned'
    if trial.state == TrialState.COMPLETE or trials.measure(trial.params).failures:
        return trials.measure(trial.params).text()
    return trial.state.name.lower()


def _record(trial: FrozenTrial, trials: Trials) -> dict[str, Any]:
    """Return a trial as cells of a CSV file."""
    measured = trials.measure(trial.params)
    by_seed = measured.by_seed()
    return {
        'trial': trial.number,
        'state': trial.state.name.lower(),
        'value': trial.value,
        **{f'seed{seed}': by_seed.get(seed) for seed in trials.seeds},
        **decode(trial.params),
        'failures': '; '.join(measured.failures.values()),
    }
