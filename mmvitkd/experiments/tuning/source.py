"""What is tuned: a config, its teacher, and the settings that are tried or searched."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmvitkd.utils.config_file import merge_options, open_named
from mmvitkd.utils.errors import ConfigError

from ..run import Setting, cut, teachers_of, use_validation_split

RANGES = 'log(LOW,HIGH), float(LOW,HIGH[,STEP]), int(LOW,HIGH[,STEP]) or choice(A,B,..)'


@dataclass(frozen=True)
class Source:
    """A config whose settings are tuned."""

    config: Path
    teacher: Path | None  # the config that trains its teacher
    checkpoint: str | None  # of its teacher, instead of the config's
    options: dict[str, Any]  # settings that all trainings have, by dotted names
    max_epochs: int | None  # cuts every training
    tries: list[dict[str, Any]]  # changes, by dotted names
    search: dict[str, str]  # ranges, by dotted names

    def training(self, changes: dict[str, Any]) -> Config:
        """Return the config with changes, tested on its validation split.

        Raises:
            ValueError: If it has none.
        """
        cfg = self._read(self.config, self.options, changes)
        if cfg.get('val_dataloader') is None:
            raise ValueError(f"'{self.config}' has no validation to tune by")
        use_validation_split(cfg)
        for one in teachers_of(cfg.model).values() if self.checkpoint else ():
            one.checkpoint = str(Path(self.checkpoint or '').absolute())
        return cfg

    def setting(self, name: str, changes: dict[str, Any]) -> Setting:
        """Make the setting of changes."""
        cfg = self.training(changes)
        teachers = self._trained if 'student' in cfg.model else {}
        return Setting(name, cfg, teachers, stem=self.config.stem)

    @cached_property
    def _trained(self) -> dict[str, Setting]:
        if self.teacher is None:
            return {}
        cfg = self._read(self.teacher, {}, {})
        return {'teacher': Setting(f'teacher {self.teacher.stem}', cfg)}

    def _read(
        self, path: Path, options: dict[str, Any], changes: dict[str, Any]
    ) -> Config:
        cfg = open_named(path, {**options, **changes})
        merge_options(cfg, deepcopy(options))
        cfg.merge_from_dict(deepcopy(changes))
        return Config(cut(cfg, self.max_epochs).to_dict())


def read(args: argparse.Namespace) -> Source:
    """Read a training's config, or a file that names one.

    Such a file has ``config``, and ``tries`` or ``search``, and ``teacher`` if there is
    one; its paths are relative to itself.

    Raises:
        ValueError: If something is missing.
    """
    file, teacher = args.file, args.teacher
    if not file.is_file():
        raise ValueError(f"there is no file of tries '{file}', nor a config")
    cfg = open_named(file).to_dict()
    config, trained = file, None
    if 'model' not in cfg:
        tries, search = cfg.get('tries'), cfg.get('search') or args.search
        if 'config' not in cfg or bool(tries) == bool(search):
            raise ValueError(
                f'{file.name} must give config and a list of tries, or a dict, search'
            )
        config = file.parent / cfg['config']
        trained = file.parent / cfg['teacher'] if 'teacher' in cfg else None
    if teacher is not None:
        is_config = Path(teacher).suffix == '.py'
        trained = Path(teacher) if is_config else None
        teacher = None if is_config else teacher
    return Source(
        config,
        trained,
        teacher,
        args.cfg_options or {},
        args.max_epochs,
        cfg.get('tries', []) if config != file else [],
        {
            **(cfg.get('search', {}) if config != file else {}),
            **read_pairs(args.search or []),
        },
    )


def read_pairs(texts: Iterable[str]) -> dict[str, str]:
    """Split ``KEY=RANGE``.

    Raises:
        ConfigError: If one is none, or a key comes twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, ranged = text.partition('=')
        if not equals or not all(key.split('.')):
            raise ConfigError(f"--search '{text}' is no KEY=RANGE; a range is {RANGES}")
        if key in pairs:
            raise ConfigError(f"--search names '{key}' twice")
        pairs[key] = ranged
    return pairs


def short_names(keys: list[str]) -> dict[str, str]:
    """Shorten dotted keys to what tells them apart."""
    short = {key: shorten(key) for key in keys}
    return short if len({*short.values()}) == len(short) else {key: key for key in keys}


def shorten(key: str) -> str:
    """Shorten a dotted key to its first and last part, for people."""
    parts = key.removeprefix('model.terms.').split('.')
    return '.'.join(dict.fromkeys((parts[0], parts[-1])))
