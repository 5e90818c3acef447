"""Read a table of configs/ablations and make the runs that fill it."""

from __future__ import annotations

import difflib
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from mmvitkd.utils.config_file import open_named
from mmvitkd.utils.own_configs import own_configs

from ..run import Setting

FOLDER = own_configs() / 'ablations'
PARTS = {'common', 'terms'}  # that stand beside the data sets' files
DATASETS = sorted({p.stem for p in (FOLDER / '_base_').glob('*.py')} - PARTS)
CELL_KEYS = {
    'row', 'column', 'student', 'teacher', 'terms', 'change', 'task_weight', 'options',
    'paper', 'paper_top5', 'paper_minutes', 'absent',
}  # fmt: skip
PAPER_KEYS = ('paper', 'paper_top5', 'paper_minutes')


@dataclass(frozen=True)
class Cell:
    """One place of a table: what fills it, and what the paper has there."""

    row: str
    column: str
    setting: Setting | None
    baseline: Setting | None
    absent: str | None = None
    paper: float | None = None
    paper_top5: float | None = None
    paper_minutes: float | None = None


@dataclass(frozen=True)
class Table:
    """A table of the paper, or of an ablation plan."""

    path: Path
    title: str
    cells: tuple[Cell, ...]
    time_an_epoch: bool = False
    paired: bool = False  # whether a seed makes the runs of a baseline's rows alike

    @property
    def name(self) -> str:
        """Name its files."""
        return self.path.stem

    @property
    def argument(self) -> str:
        """Name it as the command takes it."""
        return self.name if self.path.parent == FOLDER else str(self.path)

    @property
    def settings(self) -> list[Setting]:
        """List every setting once, baselines first."""
        baselines = [c.baseline for c in self.cells if c.baseline]
        return list(
            dict.fromkeys([*baselines, *(c.setting for c in self.cells if c.setting)])
        )


class NoCounterpart(Exception):
    """A table's model or module has no counterpart on a data set."""


class Protocol:
    """What the tables' names of students and teachers stand for on a data set."""

    def __init__(self, dataset: str) -> None:
        own = Path(dataset)
        self.name = own.stem
        self.path = own if own.suffix == '.py' else FOLDER / '_base_' / f'{dataset}.py'
        if dataset in PARTS or not self.path.is_file():
            raise ValueError(
                f"--dataset '{dataset}' is none of {DATASETS} and no file of your own"
            )
        self.cfg = open_named(self.path)

    @property
    def gpus(self) -> int:
        """Return how many GPUs a run's learning rate and batch belong to."""
        return self.cfg.get('gpus', 1)

    def _entry(self, kind: str, name: str) -> ConfigDict:
        entries = self.cfg[kind]
        if reason := self.cfg.get('lacks', {}).get(name):
            raise NoCounterpart(f'{name}: {reason}')
        if name not in entries:
            raise ValueError(f"{self.path} has no '{name}' among its {list(entries)}")
        return entries[name]

    def _read(self, config: str, options: dict) -> Config:
        if '::' not in config:
            config = str((self.path.parent / config).resolve())
        cfg = deepcopy(_from_file(config))
        # merging takes the `_delete_` keys out of what it is given
        cfg.merge_from_dict(deepcopy({**self.cfg.get('options', {}), **options}))
        return cfg

    def baseline(self, student: str, options: dict) -> Setting:
        """Train the student alone."""
        entry = self._entry('students', student)
        cfg = self._read(entry.config, {**entry.get('options', {}), **options})
        if 'student' in cfg.model:
            inner = cfg.model.student
            for key in ('data_preprocessor', 'train_cfg'):
                if cfg.model.get(key) is not None:
                    inner[key] = cfg.model[key]
            cfg.model = inner
        return Setting(
            f'{student}: alone{_listed(options)}',
            _trained_only(cfg),
            stem='alone',
        )

    def teacher(self, name: str) -> tuple[dict, dict[str, Setting]]:
        """Return the distiller's ``teacher=``, and how to train it if need be."""
        entry = self._entry('teachers', name)
        if 'train' in entry:
            cfg = _trained_only(self._read(entry.train, entry.get('options', {})))
            whole = {
                key: cfg[key].to_dict()
                for key in ('model', 'data_preprocessor')
                if key in cfg
            }
            training = Setting(f'teacher {name}', cfg, stem='alone')
            return dict(cfg=whole, checkpoint=''), {'teacher': training}
        if 'config' in entry:
            cfg = self._read(entry.config, entry.get('options', {}))
            return cfg.model.teacher.to_dict(), {}
        return entry.to_dict(), {}

    def factor(self, term: str) -> float:
        """Return what the weight of a term is multiplied by."""
        return self.cfg.get('weight_factors', {}).get(kind_of_term(term), 1)

    def terms(self, names: list[str], change: dict, library: dict) -> dict:
        """Take terms by name, changed, with weights that suit the data set."""
        unknown = [name for name in names if name not in library]
        if unknown:
            raise ValueError(f'terms.py has no {unknown}, only {list(library)}')
        # the log's keys must be unique words, so '-' becomes '_'
        terms = ConfigDict({n: deepcopy(library[n]) for n in names})
        for key, value in change.items():
            name, _, rest = key.partition('.')
            if name not in terms or not rest:
                raise ValueError(f"change={{'{key}': ...}} names none of {names}")
            _set(terms[name], rest, value)
        for key, term in terms.items():
            if (factor := self.factor(key)) != 1:
                term.loss.loss_weight *= factor
        return {name.replace('-', '_'): term for name, term in terms.items()}

    def setting(self, cell: dict, library: dict, own_teachers: bool) -> Setting:
        """Make the training that fills a cell."""
        alone = self.baseline(cell['student'], cell.get('options', {}))
        if not cell['terms']:
            return alone
        teacher, training = self.teacher(cell['teacher'])
        terms = self.terms(cell['terms'], cell.get('change', {}), library)
        self._adapt_taps(terms, cell)
        cfg = deepcopy(alone.cfg)
        cfg.model = ConfigDict(
            type='mmvitkd.ViTKDDistiller',
            student=cfg.model,
            teacher=teacher,
            terms=terms,
            task_weight=cell.get('task_weight', 1.0),
        )
        changes = {**cell.get('change', {}), **cell.get('options', {})}
        if cell.get('task_weight', 1.0) != 1.0:
            changes['task_weight'] = cell['task_weight']
        stem = f'{cell["student"]}: {"+".join(cell["terms"])}'
        name = f'{stem}{_listed(changes)}, {cell["teacher"]}'
        stem = f'{stem}, {cell["teacher"]}'
        return Setting(name, cfg, training, own_teachers, stem)

    def _adapt_taps(self, terms: dict, cell: dict) -> None:
        """Let a name's own paths stand in where its modules are named otherwise.

        Raises:
            NoCounterpart: If it says that there is none.
        """
        for side, kind in (('student', 'students'), ('teacher', 'teachers')):
            taps = self._entry(kind, cell[side]).get('taps', {})
            for term in terms.values():
                tap = term[side]
                path = tap if isinstance(tap, str) else tap.get('path')
                own = taps.get(path, path)
                if own is None:
                    raise NoCounterpart(f'no {path} on {self.name}')
                if isinstance(tap, str):
                    term[side] = own
                elif path is not None:
                    tap['path'] = own


def kind_of_term(name: str) -> str:
    """Tell ``'mimic'`` from ``'mimic0'`` or ``'mimic_last'``."""
    found = re.match('[a-z]+', name)
    return found[0] if found else name


def _listed(changes: dict) -> str:
    def short(key: str) -> str:
        return (
            f'{key.partition(".")[0]}.{key.rpartition(".")[2]}' if '.' in key else key
        )

    return ''.join(f' {short(key)}={value}' for key, value in changes.items())


@lru_cache
def _from_file(config: str) -> Config:
    return get_config(config) if '::' in config else Config.fromfile(config)


def _set(target: dict, dotted: str, value: Any) -> None:
    *parents, last = dotted.split('.')
    for key in parents:
        target = target[key]
    target[last] = value


def _trained_only(cfg: Config) -> Config:
    """Keep what a training reads: names that other configs take over are not."""
    keep = {
        key: value
        for key, value in cfg.to_dict().items()
        if not key.endswith(('_terms', '_term', 'teacher_model'))
    }
    return Config(keep)


def find(name: str, dataset: str) -> list[Path]:
    """Find tables by name: one, its beginning, ``'all'``, or a file of the user's.

    Raises:
        ValueError: If there is none, or several begin so, or it is of other data sets.
    """
    if name.endswith('.py') and Path(name).is_file():
        return [Path(name)]
    files = {p.stem: p for p in sorted(FOLDER.glob('*.py'), key=_order)}
    if name == 'all':
        return [path for path in files.values() if _is_for(path, dataset)]
    stem = Path(name).stem
    found = [stem] if stem in files else [n for n in files if n.startswith(f'{stem}_')]
    if len(found) != 1:
        near = difflib.get_close_matches(stem, files, n=3, cutoff=0.3)
        raise ValueError(
            f"there is no table '{name}'; did you mean {near or list(files)}?"
        )
    path = files[found[0]]
    if not _is_for(path, dataset):
        named = ' or '.join(Config.fromfile(path).datasets)
        raise ValueError(f'{path.name} is for --dataset {named}, not {dataset}')
    return [path]


def _is_for(path: Path, dataset: str) -> bool:
    """Tell whether a table names no data sets, or this one."""
    return dataset in Config.fromfile(path).get('datasets', [dataset])


def _order(path: Path) -> list[Any]:
    """Sort table10 after table9."""
    parts = re.split(r'(\d+)', path.stem)
    return [(int(p), '') if p.isdigit() else (-1, p) for p in parts]


def read(path: Path, protocol: Protocol) -> Table:
    """Read a table's file.

    Raises:
        ValueError: If a row has a key that is not known, or names what is not there.
    """
    cfg = open_named(path)
    shared = {k: cfg[k] for k in ('student', 'teacher', 'options') if k in cfg}
    cells = []
    for row in cfg.rows:
        for i, column in enumerate(cfg.get('columns', [{}])):
            cell = {**shared, **column, **row}
            if set(cell) - CELL_KEYS:
                unknown = sorted(set(cell) - CELL_KEYS)
                raise ValueError(
                    f'{path.name}, row {row.get("row")}: unknown keys {unknown}'
                )
            if 'columns' in cfg:  # one figure a column
                for key in PAPER_KEYS:
                    cell[key] = cell[key][i] if key in cell else None
            try:
                cells.append(_cell(cell, cfg, protocol))
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f'{path.name}, row {row.get("row")}: {error}'
                ) from error
    return Table(
        path,
        cfg.title,
        tuple(cells),
        cfg.get('time_an_epoch', False),
        protocol.cfg.get('paired', False),
    )


def _cell(cell: dict, cfg: Config, protocol: Protocol) -> Cell:
    setting = baseline = None
    absent = cell.get('absent')
    if absent is None:
        own = cfg.get('teacher_of_each_seed', False)
        try:
            setting = protocol.setting(cell, cfg.named_terms, own)
            baseline = protocol.baseline(cell['student'], cell.get('options', {}))
        except NoCounterpart as reason:
            absent = str(reason)
    return Cell(
        row=cell['row'],
        column=cell.get('column', ''),
        setting=setting,
        baseline=baseline,
        absent=absent,
        **{key: cell.get(key) for key in PAPER_KEYS},
    )
