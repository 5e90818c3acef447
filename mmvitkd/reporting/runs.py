"""What a work dir of MMEngine's runner tells about its run, finished or not."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.runner import Runner

from mmvitkd.utils.config_text import parse_config
from mmvitkd.utils.work_dir import INCIDENTAL, find_checkpoints

STARTED = re.compile(r'\d{8}_\d{6}')  # MMEngine's folder of one start
STAMP = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', re.MULTILINE)
ENVIRONMENT = re.compile(r'System environment:\n(.*?)\n-{20}', re.DOTALL)
ERROR = re.compile(r'^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*', re.MULTILINE)
LARGEST = 1e30  # far above any loss, and far below where sums and axes overflow
DEPTH = 4  # of the folders below a work dir in which runs are looked for
# what a config's top level may say; its other names are read by no one
SETTINGS = {
    *inspect.signature(Runner).parameters,
    *('custom_imports', 'runner_type', 'strategy'),
}

Record = dict[str, Any]


@dataclass
class Run:
    """One training.

    Args:
        folder: Its work dir.
        name: What the report calls it.
    """

    folder: Path
    name: str
    notes: list[str] = field(default_factory=list)

    @cached_property
    def starts(self) -> list[Path]:
        """The folders of its starts, the first one first."""
        folders = [f for f in self.folder.iterdir() if f.is_dir()]
        return sorted(f for f in folders if STARTED.fullmatch(f.name))

    @cached_property
    def trainings(self) -> list[Path]:
        """The starts that have logged training; a test is none."""
        return [f for f in self.starts if (f / 'vis_data' / 'scalars.json').is_file()]

    @cached_property
    def config(self) -> Path | None:
        """The whole config, as the run wrote it down when it was last started."""
        # a test writes one too, which says less about the training
        starts = [*reversed(self.trainings), *reversed(self.starts)]
        dumped = [start / 'vis_data' / 'config.py' for start in starts]
        written = sorted(self.folder.glob('*.py')) + [self.folder / 'config.json']
        return next((f for f in (*dumped, *written) if f.is_file()), None)

    @cached_property
    def cfg(self) -> ConfigDict | None:
        """The config, or None where there is none that can be read.

        It is read as data, since the work dir may be somebody else's.
        """
        if self.config is None:
            return None
        try:
            text = self.config.read_text(encoding='utf-8')
            is_json = self.config.suffix == '.json'
            cfg = json.loads(text) if is_json else parse_config(text)
            _require_shapes(cfg)
            return ConfigDict(cfg)
        except (ValueError, OSError, RecursionError) as error:
            self.notes.append(f'its config can not be read: {error}')
            return None

    @cached_property
    def _records(self) -> list[Record]:
        records: list[Record] = []
        broken = odd = 0
        for start in self.trainings:
            file = start / 'vis_data' / 'scalars.json'
            for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                if isinstance(record, dict):
                    records.append(_numbers(record))
                    odd += len(record) - len(records[-1])
                else:
                    broken += 1
        if broken:
            self.notes.append(f'{broken} lines of its log are broken and left out')
        if odd:
            self.notes.append(
                f'{odd} values of its log are no numbers or absurdly large: left out'
            )
        return records

    @cached_property
    def train(self) -> list[Record]:
        """What was logged while training, a record a step."""
        return _joined([r for r in self._records if 'iter' in r])

    @cached_property
    def val(self) -> list[Record]:
        """The validations, a record each."""
        return _joined([r for r in self._records if 'iter' not in r])

    def series(self, key: str, kind: str) -> list[tuple[float, float]]:
        """Return a logged value over the step.

        Args:
            key: What the log calls it.
            kind: ``'train'`` or ``'val'``.
        """
        records = self.train if kind == 'train' else self.val
        found = [(r['step'], r[key]) for r in records if key in r]
        return [(x, y) for x, y in found if isinstance(y, (int, float))]

    @cached_property
    def tested(self) -> dict[str, float]:
        """The metrics of its last test."""
        for start in reversed(self.starts):
            file = start / f'{start.name}.json'
            if file.is_file():
                try:
                    found = dict(json.loads(file.read_text(encoding='utf-8')))
                except (ValueError, TypeError, RecursionError):
                    self.notes.append(f'its test, {file.name}, can not be read')
                    continue
                return _numbers(found)
        return {}

    @property
    def seed(self) -> int | None:
        seed = self.cfg and (self.cfg.get('randomness') or {}).get('seed')
        if seed is None:  # MMEngine draws one, and tells it in the log
            drawn = self.environment.get('seed', '')
            return int(drawn) if drawn.isdigit() else None
        return seed

    @property
    def terms(self) -> dict[str, Any]:
        """The terms of a distiller; empty for a classifier that learns alone."""
        model = self.cfg.get('model') or {} if self.cfg else {}
        terms = model.get('terms') or {}
        return {name: term for name, term in terms.items() if term is not None}

    @cached_property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint."""
        held = [f for f in find_checkpoints(self.folder) if f.is_file()]
        last = [f for f in held if not f.name.startswith('best_')]
        return next(iter(last or held), None)

    @cached_property
    def environment(self) -> dict[str, str]:
        """What MMEngine found on the machine when the run was last started."""
        for start in reversed(self.trainings or self.starts):
            for log in start.glob('*.log'):
                found = ENVIRONMENT.search(_head(log))
                if found:
                    return dict(_settings_of(found[1]))
        return {}

    @cached_property
    def seconds(self) -> float:
        """How long it was at work, by its log, all starts added up."""
        total = 0.0
        for start in self.trainings:
            for log in start.glob('*.log'):
                stamps = STAMP.findall(log.read_text(errors='replace'))
                times = [datetime.strptime(s, '%Y/%m/%d %H:%M:%S') for s in stamps]
                if times:
                    total += (times[-1] - times[0]).total_seconds()
        return total

    @property
    def started(self) -> str:
        """When it was first started, or nothing."""
        starts = self.trainings or self.starts
        if not starts:
            return ''
        return f'{datetime.strptime(starts[0].name, "%Y%m%d_%H%M%S"):%Y-%m-%d %H:%M}'

    @property
    def unit(self) -> str:
        """What the run counts by: ``'epoch'`` or ``'iteration'``."""
        loop = self._loop
        by_epoch = 'max_epochs' in loop or loop.get('by_epoch', 'max_iters' not in loop)
        return 'epoch' if by_epoch else 'iteration'

    @property
    def state(self) -> str:
        """``'finished'``, or how far it came and why not further."""
        end = self._loop.get('max_epochs' if self.unit == 'epoch' else 'max_iters')
        key = 'epoch' if self.unit == 'epoch' else 'iter'
        found = re.search(rf'^{key}_(\d+)$', getattr(self.checkpoint, 'stem', ''))
        saved = int(found[1]) if found else 0
        # of the monitor's records, which may be all, none tells the epoch
        least = 1 if self.unit == 'epoch' else 0
        at = max([saved, *(record.get(key, least) for record in self.train)])
        reason = self._reason()
        came = f'{self.unit} {at} of {end or "?"}' if at else 'nothing was logged'
        if end is not None and at >= end:
            if self._is_validated(end) or (not self._validates and saved in (0, at)):
                return 'finished'
            if not reason:
                last = 'validation' if self._validates else 'checkpoint'
                return f'unfinished: killed before its last {last} ({came})'
        return f'failed: {reason} ({came})' if reason else f'unfinished: {came}'

    @property
    def _loop(self) -> Record:
        return self.cfg.get('train_cfg') or {} if self.cfg else {}

    @property
    def _validates(self) -> bool:
        """Whether a validation belongs to its end."""
        parts = ('val_cfg', 'val_dataloader', 'val_evaluator')
        return self.cfg is not None and all(self.cfg.get(p) is not None for p in parts)

    def _is_validated(self, end: int) -> bool:
        """Whether the validation at its end was logged."""
        cfg = self.cfg or {}
        logger = (cfg.get('default_hooks') or {}).get('logger') or {}
        counts_epochs = logger.get('log_metric_by_epoch', True)
        if counts_epochs == (self.unit == 'epoch'):
            return any(record['step'] >= end for record in self.val)
        return bool(self._records) and 'iter' not in self._records[-1]

    def _reason(self) -> str:
        """Return what ended it, as far as somebody wrote it down."""
        failure, console = (self.folder / n for n in ('failure.txt', 'console.log'))
        if failure.is_file():
            return failure.read_text(errors='replace').strip()
        if console.is_file():
            errors = ERROR.findall(console.read_text(errors='replace'))
            return errors[-1][:300] if errors else ''
        return ''

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the runner was told, but for the machine's settings.

        A config's other names are parts that it is written with.
        """
        if self.cfg is None:
            return {}
        told = SETTINGS.difference(INCIDENTAL)
        return {k: v for k, v in self.cfg.to_dict().items() if k in told}

    def odd_values(self) -> list[str]:
        """Name the losses that became NaN or infinite, and when."""
        found: dict[str, str] = {}
        for record in self.train:
            for key, value in record.items():
                if isinstance(value, float) and not math.isfinite(value):
                    found.setdefault(key, f'{key} is {value} at step {record["step"]}')
        return list(found.values())


def _numbers(record: Record) -> Record:
    """Keep what can be drawn and added up; NaN and infinity stay, to be told."""
    return {key: value for key, value in record.items() if _is_usable(value)}


def _is_usable(value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return True
    return isinstance(value, (int, float)) and abs(value) <= LARGEST


def _require_shapes(cfg: Any) -> None:
    """Refuse a config whose parts are not of the kind that all readers expect.

    Raises:
        ValueError: If so.
    """
    if not isinstance(cfg, dict):
        raise ValueError(f'it is a {type(cfg).__name__}, not a list of settings')
    model = cfg.get('model')
    model = model if isinstance(model, dict) else {}
    teachers = model.get('teachers')
    places = [(cfg, key) for key in ('model', 'randomness', 'train_cfg')]
    places += [(cfg, f'{split}_dataloader') for split in ('train', 'val', 'test')]
    places += [(model, key) for key in ('student', 'teacher', 'teachers', 'terms')]
    if isinstance(teachers, dict):
        places += [(teachers, key) for key in teachers]
    for owner, key in places:
        if not isinstance(owner.get(key), (dict, type(None))):
            raise ValueError(f'its {key} is {owner[key]!r}, not a dict')
    for owner, key in (
        (cfg.get('randomness') or {}, 'seed'),
        (cfg.get('train_cfg') or {}, 'max_epochs'),
        (cfg.get('train_cfg') or {}, 'max_iters'),
    ):
        if not isinstance(owner.get(key), (int, type(None))):
            raise ValueError(f'its {key} is {owner[key]!r}, not a number')


def _joined(records: list[Record]) -> list[Record]:
    """Join what was logged in the same step; what a resumed start logged counts."""
    steps: dict[int, Record] = {}
    for record in records:
        if isinstance(record.get('step'), int):
            steps.setdefault(record['step'], {}).update(record)
    return [steps[step] for step in sorted(steps)]


def find_runs(work_dirs: list[Path]) -> list[Run]:
    """Find the runs in work dirs and below them.

    Raises:
        ValueError: If one does not exist or has none.
    """
    found: dict[Path, Run] = {}
    for given in work_dirs:
        if not given.is_dir():
            raise ValueError(f"work dir '{given}' does not exist")
        folders = list(_run_folders(given))
        if not folders:
            raise ValueError(
                f"'{given}' has no run: neither it nor a folder below it has what "
                "tools/train.py writes, such as '20261231_235959/vis_data'"
            )
        for folder in folders:
            inside = folder.relative_to(given).parts
            # quickstart's and others' folder that only holds the runs
            inside = inside[1:] if inside[:1] == ('runs',) else inside
            name = '/'.join(inside) or _name(folder.resolve())
            found.setdefault(folder.resolve(), Run(folder, name))
    return list(found.values())


def _name(folder: Path) -> str:
    """Name a run by its folder, or by that of its setting where it is a seed's."""
    is_seed = re.fullmatch(r'seed\d+', folder.name)
    return f'{folder.parent.name}/{folder.name}' if is_seed else folder.name


def _run_folders(top: Path) -> Iterator[Path]:
    if STARTED.fullmatch(top.name):  # one of its starts was given
        top = top.parent
    for folder, names, files in os.walk(top):
        path = Path(folder)
        own = any(STARTED.fullmatch(name) for name in names)
        if own or 'failure.txt' in files:
            yield path
            names.clear()
        if len(path.relative_to(top).parts) >= DEPTH:
            names.clear()
        names.sort()


def _head(file: Path, size: int = 65536) -> str:
    with file.open(errors='replace') as log:
        return log.read(size)


def _settings_of(text: str) -> Iterator[tuple[str, str]]:
    """Read MMEngine's lists of ``name: value``, without torch's compile flags."""
    for line in text.splitlines():
        name, colon, value = line.strip().partition(': ')
        if colon and not line.lstrip().startswith('- '):
            yield name, value.strip()
