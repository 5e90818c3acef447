"""Runs of equal settings, which differ by their seeds alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .runs import Run

# how tools name the folder of a seed, and of a digest of settings
SEED = re.compile(r'[-_/]?seed[-_]?\d+')
DIGEST = re.compile(r'-[0-9a-f]{8}(?=$|/)')
TOP1 = 'accuracy/top1'
# settings in which equal runs may differ: the seed, and when to log and to save
SAME = ('randomness', 'default_hooks', 'custom_imports')
NO_METRICS = ('data_time', 'time', 'step')


@dataclass
class Group:
    """Runs of one setting.

    Args:
        name: What the report calls it.
        runs: One a seed.
        is_teacher: Whether another of the runs learned from one of these.
    """

    name: str
    runs: list[Run]
    is_teacher: bool = False

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def is_distilled(self) -> bool:
        return bool(self.first.terms)

    @property
    def is_baseline(self) -> bool:
        """Whether it is a student, or any classifier, that learned from labels only."""
        known = self.first.cfg is not None
        return known and not self.is_distilled and not self.is_teacher

    @property
    def method(self) -> str:
        if self.first.cfg is None:
            return 'unknown: no config'
        if self.is_distilled:
            return ' + '.join(_joined(list(self.first.terms)))
        return 'teacher' if self.is_teacher else 'baseline'

    def finals(self, metric: str) -> list[float]:
        """Return the last validation of every run that has one."""
        series = [run.series(metric, 'val') for run in self.runs]
        return [one[-1][1] for one in series if one]

    def bests(self, metric: str) -> list[float]:
        """Return the best validation of every run that has one."""
        series = [run.series(metric, 'val') for run in self.runs]
        return [max(y for _, y in one) for one in series if one]

    def best_run(self, metric: str) -> Run | None:
        """Return the run that ended best, of those with weights."""
        able = [run for run in self.runs if run.checkpoint]
        return max(able, key=lambda run: _last(run, metric), default=None)


def _last(run: Run, metric: str) -> float:
    series = run.series(metric, 'val')
    return series[-1][1] if series else float('-inf')


def _joined(names: list[str]) -> list[str]:
    """Join the names of terms that differ by their number: mimic0,1."""
    numbers: dict[str, list[str]] = {}
    for name in names:
        stem = str(name).rstrip('0123456789')
        numbers.setdefault(stem, []).append(str(name)[len(stem) :])
    return [
        stem + ','.join(sorted(found, key=lambda number: int(number or -1)))
        for stem, found in numbers.items()
    ]


def group_runs(runs: list[Run]) -> list[Group]:
    """Put runs together that differ by their seeds alone."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        settings = {k: v for k, v in run.settings.items() if k not in SAME}
        # a teacher that was trained anew for every seed lies in a folder of the seed
        key = SEED.sub('', _written(settings))
        found.setdefault(key if settings else str(run.folder), []).append(run)
    members = [sorted(runs, key=_order) for runs in found.values()]
    groups = [Group(n, rs) for n, rs in zip(_names(members), members, strict=True)]
    taught_by = {folder for run in runs for folder in _teachers_folders(run)}
    for group in groups:
        folders = {run.folder.resolve() for run in group.runs}
        group.is_teacher = bool(folders & taught_by)
    return groups


def _written(settings: dict[str, Any]) -> str:
    try:
        return json.dumps(settings, sort_keys=True, default=repr)
    except TypeError:  # keys that JSON has not, or that can't be sorted
        return repr(settings)


def _order(run: Run) -> tuple[float, str]:
    return float('inf') if run.seed is None else run.seed, run.name


def _teachers_folders(run: Run) -> list[Path]:
    files = [find_weights(run, t.get('checkpoint')) for t in teachers_of(run).values()]
    return [file.resolve().parent for file in files if file]


def teacher_groups(group: Group, groups: list[Group]) -> list[Group]:
    """Return the groups that taught one, by the weights that its config names."""
    folders = {folder for run in group.runs for folder in _teachers_folders(run)}
    return [g for g in groups if folders & {run.folder.resolve() for run in g.runs}]


def _names(groups: list[list[Run]]) -> list[str]:
    """Name groups by their first run, as short as keeps them apart."""
    full = [runs[0].name for runs in groups]
    plain = [SEED.sub('', name) or name for name in full]
    for shorter in ([DIGEST.sub('', name) for name in plain], plain, full):
        if len(set(shorter)) == len(shorter):
            return shorter
    return [str(runs[0].folder) for runs in groups]


def main_metric(runs: list[Run]) -> str:
    """Return the metric to compare by: top-1, or else the first that was logged."""
    names = [key for run in runs for record in run.val for key in record]
    names = [name for name in names if name not in NO_METRICS]
    return TOP1 if TOP1 in names or not names else names[0]


def baseline_of(group: Group, groups: list[Group]) -> Group | None:
    """Return the one group that trained the same student without a teacher."""
    same = baselines_of(group, groups)
    return same[0] if len(same) == 1 else None


def baselines_of(group: Group, groups: list[Group]) -> list[Group]:
    """Return the groups that trained a distilled group's student without a teacher."""
    if not group.is_distilled:
        return []
    mine = _backbone(group.first)
    return [g for g in groups if g.is_baseline and _backbone(g.first) == mine]


def _backbone(run: Run) -> Any:
    model = run.cfg.get('model') or {} if run.cfg else {}
    return (model.get('student') or model).get('backbone')


def teachers_of(run: Run) -> dict[str, dict[str, Any]]:
    """Return the configs of a distiller's teachers by name."""
    model = run.cfg.get('model') or {} if run.cfg else {}
    one = model.get('teacher')
    return (
        {'teacher': one}
        if one
        else {k: v for k, v in (model.get('teachers') or {}).items() if v}
    )


def find_weights(run: Run, checkpoint: str | None) -> Path | None:
    """Find a teacher's checkpoint, also where the work dirs were moved together.

    The name of the file alone would fit anybody's, so that of its folder must agree.
    """
    path = Path(checkpoint if isinstance(checkpoint, str) else '')
    if _is_file(path):
        return path
    for parent in list(run.folder.resolve().parents)[:3]:
        for length in (3, 2):
            moved = parent.joinpath(*path.parts[-length:])
            if len(path.parts) >= length and _is_file(moved):
                return moved
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, say
        return False
