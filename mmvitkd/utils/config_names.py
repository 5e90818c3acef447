"""The names at a config's top level: which of them anything reads."""

import ast
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner

from .errors import ConfigError
from .own_configs import PREFIX, own_configs
from .spelling import is_slip, suggest

# what the runners and the tools read of the config itself
SETTINGS = {
    *inspect.signature(Runner.__init__).parameters,
    *inspect.signature(FlexibleRunner.__init__).parameters,
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
} - {'self', 'cfg'}
# of a user's own variables
FREE = ('_', 'x_', 'x-')
UPSTREAM = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'mmpose')
# which say nothing about where a value came from
COMMON: tuple[Any, ...] = (None, True, False, 0, 1, '', [], {}, ())

Heirs = tuple[set[str], ...]


@dataclass
class Names:
    """What one config file does with names.

    Attributes:
        assigned: At its top level.
        loaded: Anywhere in it.
        of_base: Taken from its bases, as ``_base_.X``.
        whole: Whether it uses all of them at once, by ``globals()`` or the like.
        dumped: Whether it looks as MMEngine dumps a config.
        bases: The files that it inherits from.
    """

    assigned: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)
    of_base: set[str] = field(default_factory=set)
    whole: bool = False
    dumped: bool = False
    bases: list[Path] = field(default_factory=list)


def check_names(cfg: Config, path: str | Path, followed: Collection[str] = ()) -> None:
    """Refuse names of a config file, or of its bases, that nothing reads.

    A name is read if it is a setting, if the file uses it, or a file that inherits
    from it does. In a base, which others may inherit from as well, and in a file that
    MMEngine has dumped, only what looks like a misspelt setting is refused; the
    OpenMMLab packages' files may hold what they like.

    Args:
        cfg: As read from the file.
        path: Of the config.
        followed: Variables that were changed where they are used. Defaults to none.

    Raises:
        ValueError: If there is such a name; the message offers the nearest setting.
    """
    for file, names, heirs in own_files(Path(path)):
        lenient = names.dumped or heirs
        for name in sorted(names.assigned & set(cfg) - SETTINGS - names.loaded):
            if (
                name in followed
                or name.startswith(FREE)
                or any(name in heir for heir in heirs)
                or names.whole
                or _is_read_by_imports(cfg, name)
            ):
                continue
            copied = lenient or find_value(cfg, cfg[name], but=name)
            if not copied or is_slip(name, SETTINGS):
                raise ValueError(f"config '{file}': {_unread(name)}")


def check_option(cfg: Config, name: str, variables: Collection[str] = ()) -> None:
    """Refuse to change a name by ``--cfg-options`` that has no effect.

    Args:
        cfg: As read from the file.
        name: At its top level.
        variables: Those that its files use.

    Raises:
        ValueError: If nothing reads it, or it is a variable whose value the settings
            have copied, as in a config that MMEngine has dumped.
    """
    known = name in SETTINGS or name in variables or name.startswith(FREE)
    if known or _is_read_by_imports(cfg, name):
        return
    if name not in cfg:
        raise ValueError(f'--cfg-options: {_unread(name)}')
    places = find_value(cfg, cfg[name], but=name)[:3]
    instead = f': change {", ".join(places)} instead' if places else ''
    raise ValueError(
        f"--cfg-options: '{name}' is a variable of the config, whose settings have "
        f'copied its value, so changing it does nothing{instead}'
    )


def find_value(cfg: Config, value: Any, but: str) -> list[str]:
    """List where else in a config a value occurs, strings as beginnings, too."""
    plain = isinstance(value, str | int | float | list | tuple | dict)
    if not plain or any(value == common for common in COMMON):
        return []
    found = []
    for key in cfg:
        if key in SETTINGS and key != but:
            found += [place for place, v in walk(cfg[key], key) if _holds(v, value)]
    return found


def _holds(value: Any, searched: Any) -> bool:
    if isinstance(value, str) and isinstance(searched, str):
        return value.startswith(searched)
    return type(value) is type(searched) and value == searched


def walk(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Go through a part of a config, each value with its place."""
    yield place, value
    if isinstance(value, dict):
        for key in value:
            yield from walk(value[key], f'{place}.{key}')
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from walk(item, f'{place}.{number}')


def _unread(name: str) -> str:
    hint = suggest(name, SETTINGS) or '.'
    return (
        f"nothing reads '{name}'{hint} A variable that no setting "
        "uses does nothing; names that begin with 'x_' or '_' are your own"
    )


def _is_read_by_imports(cfg: Config, name: str) -> bool:
    """Whether the source of a module in ``custom_imports`` has the name in it."""
    modules = (cfg.get('custom_imports') or {}).get('imports') or []
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            continue
        if spec is None or not spec.origin or not spec.origin.endswith('.py'):
            continue
        text = Path(spec.origin).read_text(encoding='utf-8')
        if re.search(rf'\b{re.escape(name)}\b', text):
            return True
    return False


def own_files(path: Path) -> Iterator[tuple[Path, Names, Heirs]]:
    """Go through a config and the user's own files that it inherits from.

    Yields:
        As :func:`all_files`.
    """
    return all_files(path, is_upstream)


def all_files(
    path: Path, leave_out: Callable[[Path], bool] | None = None, heirs: Heirs = ()
) -> Iterator[tuple[Path, Names, Heirs]]:
    """Go through a config and all files that it inherits from.

    Args:
        path: Of the config.
        leave_out: Whether to pass over a file, with its bases. Defaults to None.
        heirs: What the files that inherit from it take from their bases.

    Yields:
        File, its names, and the same of its heirs.
    """
    if not path.is_file() or (leave_out and leave_out(path)):
        return
    names = read_names(path)
    yield path, names, heirs
    for base in names.bases:
        yield from all_files(base, leave_out, (*heirs, names.of_base))


def is_upstream(path: Path) -> bool:
    """Whether a file is one of the OpenMMLab packages, or lies where MIM puts such."""
    return '.mim' in path.parts or not _upstream().isdisjoint(path.resolve().parents)


@cache
def _upstream() -> frozenset[Path]:
    specs = filter(None, map(find_spec, UPSTREAM))
    return frozenset(Path(spec.origin).parent for spec in specs if spec.origin)


def read_names(path: Path) -> Names:
    """Read which names a config file assigns and uses, without running it."""
    state = path.stat()
    version = (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
    return _read_names(path, version)


@cache
def _read_names(path: Path, _version: tuple[int, ...]) -> Names:
    if path.suffix not in ('.py', '.json', '.yaml', '.yml'):
        raise ConfigError(f"config '{path}': it is no .py, .json, .yaml or .yml file")
    if path.suffix != '.py':
        bases = Config._get_base_files(str(path))
        own = set(Config._file2dict(str(path))[0]) if not bases else set()
        # no variable can be used in such a file: what it holds was read elsewhere
        return Names(assigned=own, dumped=True, bases=_resolve(bases, path))
    text = path.read_text(encoding='utf-8')
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(
            f"config '{path}': line {error.lineno}: {error.msg}"
        ) from error
    names = Names()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.loaded.add(node.id)
    names.whole = bool(names.loaded & {'globals', 'locals', 'vars', 'eval', 'exec'})
    names.assigned = set(_assigned(tree.body)) - {'_base_'}
    names.of_base = set(re.findall(r'_base_\.(\w+)', text))
    if Config._is_lazy_import(str(path)):
        names.of_base |= names.loaded  # imported by read_base()
        names.bases = _lazy_bases(tree, path)
    else:
        names.bases = _resolve(Config._get_base_files(str(path)), path)
    written = [
        ast.unparse(s.targets[0]) for s in tree.body if isinstance(s, ast.Assign)
    ]
    names.dumped = (
        len(written) == len(tree.body) > 3
        and '_base_' not in written
        and written == sorted(written)
        and names.loaded <= {'dict', 'set', 'float'}
    )
    return names


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            for inner in ('body', 'orelse', 'finalbody'):
                if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                    yield from _assigned(getattr(statement, inner, []))
            continue
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


def _resolve(bases: list[str], path: Path) -> list[Path]:
    """Find base files, those of a package (``mmpretrain::X``) as well."""
    return [
        _of_package(base) if '::' in base else path.parent / os.path.expanduser(base)
        for base in bases
    ]


def _of_package(name: str) -> Path:
    package, _, inner = name.partition('::')
    if name.startswith(PREFIX):
        return own_configs() / inner
    return _root(package, '.mim', 'configs', inner)


def _root(package: str, *inner: str) -> Path:
    """Return a place in a package, whether there is such a package or not."""
    spec = find_spec(package)
    init = spec.origin if spec and spec.origin else package
    return Path(init).parent.joinpath(*inner)


def _lazy_bases(tree: ast.Module, path: Path) -> list[Path]:
    """Find the files that ``with read_base():`` imports."""
    found = []
    for block in tree.body:
        for node in block.body if isinstance(block, ast.With) else []:
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = node.module.split('.')
                if node.level:
                    folder = path.parents[node.level - 1]
                    found.append(folder.joinpath(*parts).with_suffix('.py'))
                else:
                    found.append(_root(*parts).with_suffix('.py'))
    return found
