"""Reading a config file, and changing it by options: what fails is told in a line."""

from __future__ import annotations

import ast
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.config.config import DELETE_KEY
from mmengine.hub import get_config
from mmengine.utils import import_modules_from_strings

from .built import shorten
from .config_names import walk
from .config_variables import changed_variables, literals, read_with, variables_of
from .errors import ConfigError
from .places import note_config
from .spelling import suggest

DICTS = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'optim_wrapper',
    'default_hooks',
    'data_preprocessor',
    'env_cfg',
    'randomness',
    'auto_scale_lr',
    'custom_imports',
    'visualizer',
    'log_processor',
)
INNER = (
    'teacher',
    'teachers',
    'dataset',
    'sampler',
    'batch_sampler',
    'optimizer',
    'paramwise_cfg',
)


def open_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config file, whatever is in it.

    A variable that a file changes, or an option, changes all that its bases make of it.

    Args:
        path: Of the config.
        options: Settings to change later, by their dotted names: of these the variables
            are changed here. Defaults to None.

    Raises:
        ConfigError: If there is none, or it can't be read; the message has the line.
    """
    file = Path(path)
    if not file.is_file():
        folder = file.parent
        beside = [f.name for f in folder.glob('*.py')] if folder.is_dir() else []
        raise ConfigError(f"config '{path}' does not exist{suggest(file.name, beside)}")
    cfg = _read(path, {})
    variables = variables_of(file)
    given = {k: v for k, v in (options or {}).items() if k.split('.')[0] in variables}
    merge_options(cfg, given)
    values = literals(cfg, {option.split('.')[0] for option in given})
    if values:
        cfg = _read(path, values)
    changed = literals(cfg, changed_variables(file) - set(values))
    return _read(path, {**changed, **values}) if changed else cfg


def _read(path: str | Path, values: dict[str, Any]) -> Config:
    """Read a config file, with other values of some of its variables."""
    try:
        return read_with(path, values)
    except Exception as error:  # whatever a config's own code raises
        raise ConfigError(f"config '{path}': {_reason(error, Path(path))}") from error


def open_named(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config that the command line names; errors will tell places in it.

    Args:
        path: Of the config.
        options: As of :func:`open_config`. Defaults to None.
    """
    cfg = open_config(path, options)
    note_config(cfg, path, main=False)
    return cfg


def require_model(cfg: Config) -> None:
    """Refuse a config without a model.

    Raises:
        ConfigError: If it is one.
    """
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(
            f"config '{cfg.filename}' has no model: it needs model = dict(type=...), "
            'its own or by _base_'
        )


def require_dicts(cfg: Config) -> None:
    """Refuse parts of a config that are no dict where everybody expects one.

    Raises:
        ConfigError: If there is such a part.
    """
    for place, held in _parts(cfg):
        if isinstance(held, (bool, int, float, str, list, tuple)):
            raise ConfigError(f'{place} must be a dict, got {held!r}')
    for place, held in _lists(cfg):
        if held is not None and not isinstance(held, (list, tuple)):
            raise ConfigError(f'{place} must be dicts in a list, got {held!r}')


def _parts(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Go through what must be a dict, wherever anything is read of it."""
    for key in DICTS:
        held = cfg.get(key)
        yield key, held
        for inner in INNER if isinstance(held, dict) else ():
            yield f'{key}.{inner}', held.get(inner)
    env = cfg.get('env_cfg')
    for key in ('mp_cfg', 'dist_cfg') if isinstance(env, dict) else ():
        yield f'env_cfg.{key}', 'None' if env.get(key, {}) is None else env.get(key)
    hooks = cfg.get('default_hooks')
    for name, hook in hooks.items() if isinstance(hooks, dict) else ():
        if hook is not False:  # as None, which takes one away
            yield f'default_hooks.{name}', hook
    for place, held in _lists(cfg):
        for number, item in enumerate(held if isinstance(held, (list, tuple)) else ()):
            yield f'{place}.{number}', 'None' if item is None else item


def _lists(cfg: Config) -> Iterator[tuple[str, Any]]:
    yield 'custom_hooks', cfg.get('custom_hooks')
    for place in ('val_evaluator', 'test_evaluator', 'param_scheduler'):
        held = cfg.get(place)
        yield place, [held] if isinstance(held, dict) else held
    for place, part in walk(cfg.get('model'), 'model'):
        if place.endswith('.train_cfg') and isinstance(part, dict):
            held = part.get('augments')
            yield f'{place}.augments', [held] if isinstance(held, dict) else held
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        dataset = loader.get('dataset') if isinstance(loader, dict) else None
        if isinstance(dataset, dict):
            yield f'{split}_dataloader.dataset.pipeline', dataset.get('pipeline')


def teachers_files(cfg: Config) -> list[Path]:
    """List the files that a distiller's teachers are read from."""
    model = cfg.get('model') or {}
    teachers = [model.get('teacher'), *(model.get('teachers') or {}).values()]
    named = [t.get('cfg') for t in teachers if isinstance(t, dict)]
    return [Path(n) for n in named if isinstance(n, str) and Path(n).is_file()]


def find_config(name: str) -> Config:
    """Read a config by its ``package::`` name.

    Raises:
        ConfigError: If there is none of this name.
    """
    try:
        return get_config(name)
    except ConfigError:  # of this package's names
        raise
    except Exception as error:
        raise ConfigError(f"config '{name}': {_of_package(error)}") from error


def _of_package(error: Exception) -> str:
    """Put an error about a package's configs, which may list them all, into a line."""
    text = ' '.join(str(error).split())
    found = re.search(r'Expected configs: dict_keys\((.*)\), but got (\S+)', text)
    missing = re.search(r'"(.*/configs/)([^"]+)" does not exist', text)
    if missing:
        top = Path(missing[1])
        known = [str(file.relative_to(top)) for file in top.rglob('*.py')]
        return f"the package has no '{missing[2]}'{suggest(missing[2], known)}"
    if not found:
        return shorten(f'{type(error).__name__}: {text}')
    near = suggest(found[2], re.findall(r"'([^']+)'", found[1]))
    return f"the package has no '{found[2]}'{near}"


def _reason(error: Exception, file: Path) -> str:
    """Say what is wrong in a file, and in which line."""
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, SyntaxError) and error.lineno:
        code = (error.text or '').strip()
        return f'line {error.lineno}: {error.msg}{f": {code}" if code else ""}'
    if 'Expected configs' in str(error) or '/.mim/configs/' in str(error):
        return _of_package(error)
    text = ' '.join(str(error).split()).partition(', the current sys.path is')[0]
    text = shorten(text)
    if isinstance(error, UnicodeDecodeError):
        return f'it is not UTF-8: {text}'
    last = traceback.extract_tb(error.__traceback__)[-1]
    at = f'line {last.lineno}: ' if Path(last.filename) == file else ''
    name = type(error).__name__
    return f'{at}{name}: {text}' if text else f'{at}{name}'


def read_option(text: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE``, by MMEngine's rules; a value with braces as Python has it.

    Raises:
        ConfigError: If it is none.
    """
    from mmengine.config import DictAction

    key, equals, value = text.partition('=')
    if not equals or not key or not all(key.split('.')):
        raise ConfigError(
            f"--cfg-options '{text}' is no KEY=VALUE, such as train_cfg.max_epochs=10; "
            'without spaces around the =, or in quotes'
        )
    try:
        if '{' in value:
            return key, ast.literal_eval(value.strip('"'))
        return key, DictAction._parse_iterable(value)
    except (SyntaxError, ValueError, AssertionError, RecursionError) as error:
        raise ConfigError(
            f"--cfg-options {key}={value}: the value can't be read; lists are "
            'key="[a,b]", dicts key="{\'a\': 1}"'
        ) from error


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Change settings by their dotted names.

    Raises:
        ConfigError: If a name leads through a value that is no dict or list, or out of
            a list.
    """
    for option, value in options.items():
        held: Any = cfg
        items = None  # of a list, of which the option names one
        *above, last = option.split('.')
        for number, key in enumerate([*above, last]):
            place = '.'.join([*above, last][:number])
            items = held if isinstance(held, list) else None
            if isinstance(held, (list, tuple)):
                held = _item(held, key, place, option)
            elif isinstance(held, (dict, Config)):
                if key not in held:
                    break
                held = held[key]
            else:
                raise ConfigError(
                    f'--cfg-options {option}: {place} is {held!r}, which has no keys: '
                    f'set {place} itself'
                )
        is_dict = isinstance(value, dict)
        try:
            if items is not None:  # into whose items MMEngine would merge
                items[int(last)] = ConfigDict(value) if is_dict else value
                continue
            if is_dict and not last.isdigit():
                value = {DELETE_KEY: True, **value}  # it is what the setting becomes
            cfg.merge_from_dict({option: value})
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            text = shorten(' '.join(str(error).split()))
            raise ConfigError(f'--cfg-options {option}={value!r}: {text}') from error
    if any(option.split('.')[0] == 'custom_imports' for option in options):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except (ImportError, TypeError) as error:
            raise ConfigError(
                f'custom_imports={cfg.custom_imports}: {error}'
            ) from error


def _item(held: list | tuple, key: str, place: str, option: str) -> Any:
    if not key.isdigit() or int(key) >= len(held):
        raise ConfigError(
            f'--cfg-options {option}: {place} is a list of {len(held)}, whose items '
            f"are numbered from 0: there is no '{key}'"
        )
    return held[int(key)]
